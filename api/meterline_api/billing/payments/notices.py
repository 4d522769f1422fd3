"""What others are told: a payment that failed, and usage that Stripe does not count. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from meterline_schemas.billing.payment import STRIPE, Report, StripeInvoice, StripeStatus
from meterline_schemas.billing.push import Push
from meterline_schemas.notification import Notification, PaymentFailed, Type, UsageRefused, notification

_MOST_PUSHES = 100  # that a notification names


def failure(invoice: StripeInvoice, known: StripeInvoice) -> Notification | None:
    """That the attempt failed which ``invoice`` was seen with, where it is still owed by what is ``known``.

    None where it was told already, or nothing failed.
    """
    attempt = invoice.failed
    if not attempt or attempt in known.told or known.status in (StripeStatus.PAID, StripeStatus.VOID):
        return None
    data = PaymentFailed(
        provider=STRIPE,
        reference=known.id,
        tenant_id=known.tenant_id,
        customer=known.customer,
        invoices=list(known.numbers),
        amount_due=format(invoice.amount_due, "f"),
        currency=known.currency,
        attempt=attempt,
        next_attempt_at=invoice.next_attempt_at,
    )
    at = invoice.failed_at or invoice.seen_at
    return notification(Type.PAYMENT_FAILED, at, known.tenant_id, data, (STRIPE, known.id, str(attempt)))


def refused(report: Report, metric: str, pushes: Iterable[Push]) -> Notification:
    """That Stripe does not count usage: once for each event of it."""
    named = sorted(pushes, key=lambda each: (each.tenant_id, each.metric, each.day))
    data = UsageRefused(
        event=report.event,
        meter=report.meter,
        metric=metric,
        count=report.count,
        window_start=report.start,
        window_end=report.end,
        summary=report.summary,
        reasons=[
            {"code": each.code, "count": each.count, "message": each.message, "identifiers": list(each.identifiers)}
            for each in report.reasons
        ],
        pushes=[
            {
                "tenant_id": each.tenant_id,
                "metric": each.metric,
                "day": each.day.isoformat(),
                "identifier": each.identifier,
            }
            for each in named[:_MOST_PUSHES]
        ],
    )
    tenants = {each.tenant_id for each in named}
    tenant = tenants.pop() if len(tenants) == 1 else ""
    return notification(Type.USAGE_REFUSED, report.at, tenant, data, (STRIPE, report.event))
