"""Ports for servers of tests, which nobody takes between the asking and the listening.

The system deals its own from 32768 up, to whoever connects or asks for any. These lie below, and each of pytest's
workers has a thousand that no other worker asks for. A server that is restarted finds its port free again too.
"""

from __future__ import annotations

import itertools
import os
import random

from meterline_deploy.ports import is_free

_EACH = 1000
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 19
_ports = itertools.cycle(range(13_000 + _worker * _EACH, 13_000 + (_worker + 1) * _EACH))
for _ in range(random.randrange(_EACH)):  # two runs of the tests on one machine begin at different ones
    next(_ports)


def free_port() -> int:
    """A port of this machine's loopback interface on which nobody listens."""
    return next(port for port in _ports if is_free(port))
