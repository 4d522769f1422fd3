"""Counts the requests of a web app: ``asgi`` (Starlette, FastAPI), ``wsgi`` (Flask) and ``django``, each a module.

Importing this needs none of those frameworks.
"""

from meterline.middleware.extract import header, state, user
from meterline.middleware.meter import MiddlewareStats, stats

__all__ = ["MiddlewareStats", "header", "state", "stats", "user"]
