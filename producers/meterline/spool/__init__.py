"""Events on disk until they are acknowledged, so that they outlive the process that tracked them."""

from meterline.spool.settings import Spool

__all__ = ["Spool"]
