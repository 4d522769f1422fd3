"""``python -m meterline_deploy``: the ``meterline`` command."""

from meterline_deploy.cli import main

if __name__ == "__main__":
    main()
