"""What stops invoice items, beside servers that do not answer.

meterline_schemas.errors.MeterlineError
└── ItemsError   a record of billing.items or billing.invoices that this version cannot read
"""

from __future__ import annotations

from meterline_schemas.errors import IntegrityError


class ItemsError(IntegrityError):
    def __init__(self, topic: str, offset: int, detail: str) -> None:
        super().__init__(
            f"{topic}, offset {offset}: the record cannot be read ({' '.join(detail.split())}). No item is sent, since "
            "one could be sent twice; a newer version of Meterline may have written it"
        )
