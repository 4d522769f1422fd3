"""``meterline``: the command line.

Exit codes: 0 done; 1 it failed, or what it looked for is wrong; 2 the command line is wrong; 130 interrupted.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import typer

COMMANDS: Final = (
    *("up", "env", "setup", "doctor", "catalog", "metrics", "emit", "replay", "sql", "report", "notifications"),
    *("event", "keys", "reconcile", "audit", "tenant", "storage", "analyst", "billing", "stripe"),
)

HELP: Final = """Usage metering that companies can bill by: every acknowledged event counted exactly once, provably.

Start with `meterline up`; the other commands find it through --data or METERLINE_DATA (./.meterline by default).
METERLINE_* variables that are set win over what they find.
"""


def build() -> typer.Typer:
    """The application with every command."""
    import typer

    app = typer.Typer(
        name="meterline",
        help=HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
        if version:
            from importlib.metadata import version as installed

            typer.echo(f"meterline {installed('meterline')}")
            raise typer.Exit

    for name in COMMANDS:
        importlib.import_module(f"meterline_deploy.commands.{name}").register(app)
    return app


def main() -> None:
    """Run the command line; every error that Meterline raises on purpose is a sentence on stderr, not a trace."""
    from meterline_schemas.errors import MeterlineError

    logging.getLogger().addHandler(logging.NullHandler())  # what libraries say besides is no help
    try:
        build()(prog_name="meterline")
    except MeterlineError as error:
        print(f"meterline: {error}", file=sys.stderr)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("meterline"):
            raise
        print(f"meterline: {error.name} is not installed: pip install 'meterline[embedded]'", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `meterline … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
