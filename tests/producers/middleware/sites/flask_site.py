"""An app whose gunicorn master tracks before it forks: the worst that ``--preload`` has."""

from __future__ import annotations

import os

from flask import Flask, Response, g, request, send_file

from meterline.middleware.wsgi import UsageMiddleware
from meterline.tracker import default_producer

app = Flask(__name__)
default_producer().track("master", "starts")


@app.before_request
def authenticate() -> None:
    g.tenant_id = request.headers["x-tenant"]


@app.get("/items/<int:id>")
def item(id: int) -> str:
    return str(os.getpid())


@app.get("/file")
def file() -> Response:
    return send_file(__file__, mimetype="text/plain")


app.wsgi_app = UsageMiddleware(  # type: ignore[method-assign]
    app.wsgi_app,
    tenant=lambda _environ: g.tenant_id,
    properties=lambda _environ: {"pid": os.getpid()},
)
