"""Who is to be told of a notification. Pure: the catalog and the notification in, targets out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from meterline_schemas.catalog import Action, Book, Threshold, Webhook
from meterline_schemas.delivery import Delivery, State, target_of
from meterline_schemas.notification import Type

_OF_THRESHOLDS: Final = {
    Type.THRESHOLD_APPROACHING,
    Type.THRESHOLD_EXCEEDED,
    Type.THRESHOLD_RESOLVED,
    Type.BILLING_THRESHOLD_EXCEEDED,
}
_OF_OPERATORS: Final = {Type.RUN_PROBLEMS, Type.PAYMENT_FAILED, Type.USAGE_REFUSED}


class Heard(Struct, frozen=True):
    """A record of the topic as far as it matters here; a type of a newer version is taken as well."""

    id: str
    type: str
    timestamp: datetime
    tenant_id: str
    data: msgspec.Raw


class _OfThreshold(Struct, frozen=True):
    threshold_id: str = ""
    thresholdId: str = ""
    action: str = ""
    reason: str | None = None


_decode: Final = msgspec.json.Decoder(Heard).decode
_decode_data: Final = msgspec.json.Decoder(_OfThreshold).decode


def read(value: bytes) -> Heard:
    """A record of ``meterline.notifications``.

    Raises:
        ValueError: it is none.
    """
    heard = _decode(value)
    if heard.type in _OF_THRESHOLDS:
        _decode_data(heard.data)
    return heard


def deliveries(
    heard: Heard, value: bytes, book: Book, removed: Mapping[str, Threshold], operators: Sequence[str] = ()
) -> list[Delivery]:
    """One for each that is to be told, not begun. ``value`` is the record, and the body that webhooks get."""
    targets = tuple(dict.fromkeys(audience(heard, book, removed, operators)))
    return [
        Delivery(
            notification_id=heard.id,
            type=heard.type,
            tenant_id=heard.tenant_id,
            target=target,
            targets=targets,
            state=State.PENDING,
            notification=msgspec.Raw(value),
        )
        for target in targets
    ]


def audience(
    heard: Heard, book: Book, removed: Mapping[str, Threshold], operators: Sequence[str] = ()
) -> Iterator[str]:
    """The targets: webhooks that want this type and tenant, and the mailboxes of the threshold that was crossed.

    The mailboxes ``operators`` are told what needs whoever runs the installation.

    ``removed`` holds thresholds that were deleted: who was told that they were crossed is told that it is over.
    """
    named: tuple[str, ...] | None = None
    if heard.type in _OF_THRESHOLDS:
        data = _decode_data(heard.data)
        threshold_id = data.threshold_id or data.thresholdId
        threshold = book.find(Threshold, threshold_id) or removed.get(threshold_id)
        if threshold is not None:
            if threshold.action is Action.NONE:
                return
            named = threshold.notify_webhooks
            if heard.type != Type.BILLING_THRESHOLD_EXCEEDED:  # the same once more, in another form
                yield from (target_of("email", address) for address in threshold.notify_emails)
        elif data.action == Action.NONE and data.reason != "threshold_deleted":
            return
    if heard.type in _OF_OPERATORS:
        yield from (target_of("email", address) for address in operators)
    for webhook in book.all(Webhook):
        if _wants(webhook, heard) and (named is None or webhook.id in named):
            yield target_of("webhook", webhook.id)


def _wants(webhook: Webhook, heard: Heard) -> bool:
    return (
        webhook.enabled
        and (not webhook.events or heard.type in webhook.events)
        and webhook.tenant_id in ("", heard.tenant_id)
    )
