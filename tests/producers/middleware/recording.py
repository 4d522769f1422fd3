"""A tracker that keeps what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from meterline.encoding import Quantity


class Recording:
    def __init__(self) -> None:
        self.tracked: list[dict[str, Any]] = []

    def track(
        self,
        tenant_id: str,
        metric: str,
        quantity: Quantity = 1,
        *,
        subject: str | None = None,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        id: str | None = None,
    ) -> str:
        assert timestamp is None
        assert id is None
        self.tracked.append(
            {"tenant": tenant_id, "metric": metric, "quantity": quantity, "subject": subject, **(properties or {})}
        )
        return str(len(self.tracked))

    def endpoints(self) -> list[str]:
        return [each["endpoint"] for each in self.tracked]
