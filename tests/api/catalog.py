"""The catalog of an installation, read by nothing of the API."""

from __future__ import annotations

from typing import Any

import httpx

from meterline_schemas.catalog.store import Store
from meterline_schemas.settings import KafkaSettings
from tests.support.cluster import read_all


def config(kafka: str, prefix: str) -> dict[str, bytes]:
    """The newest value of every key on the config topic."""
    found: dict[str, bytes] = {}
    for message in read_all(kafka, prefix + "meterline.config"):
        key, value = (message.key() or b"").decode(), message.value()
        if value is None:
            found.pop(key, None)
        else:
            found[key] = value
    return found


def store(kafka: str, prefix: str) -> Store:
    return Store(KafkaSettings(kafka=kafka, topic_prefix=prefix))


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, str]:
    """What each field is told, once the answer is found to be a problem document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert (found["status"], found["code"]) == (status, code)
    assert found["detail"]
    assert "Traceback" not in answer.text
    return {error["field"]: error["detail"] for error in found.get("errors", [])}
