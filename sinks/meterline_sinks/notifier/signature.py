"""Signatures of webhooks, as the Standard Webhooks specification has them (standardwebhooks.com). Pure."""

from __future__ import annotations

import base64
import hmac
from datetime import datetime

from meterline_schemas.catalog.webhook import SECRET_PREFIX


def signed_headers(secret: str, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """``webhook-id``, ``webhook-timestamp`` and ``webhook-signature`` of a body sent at ``at``.

    The receiver recomputes the HMAC-SHA256 of ``id.timestamp.body`` and refuses times that are far from its own.

    Raises:
        ValueError: what follows ``whsec_`` in ``secret`` is no base64.
    """
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    timestamp = str(int(at.timestamp()))
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}
