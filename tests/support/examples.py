"""How many examples Hypothesis tries where each takes long: few in every run, more where somebody asks for them."""

from __future__ import annotations

import os
from typing import Final

_TIMES: Final = float(os.environ.get("METERLINE_TEST_EXAMPLES", "1"))


def few(number: int) -> int:
    """``number``, times METERLINE_TEST_EXAMPLES."""
    return max(1, int(number * _TIMES))
