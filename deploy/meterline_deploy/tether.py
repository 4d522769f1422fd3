"""Run a command that ends when its parent ends, however the parent ends.

``python -I -S tether.py PARENT_PID COMMAND [ARGUMENT…]``: asks Linux for SIGKILL at the parent's death, then becomes
the command. Elsewhere it only becomes the command. Imports nothing of ours, so that it costs next to nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def tethered(command: list[str]) -> list[str]:
    """The command line that runs ``command`` tied to the calling process.

    The tie is to the thread that starts it: start it from one that lives as long as the process.
    """
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), *command]


def main(arguments: list[str]) -> None:
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before the request was made
            os._exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
