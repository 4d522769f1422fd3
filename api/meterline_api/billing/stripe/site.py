"""All that a job of Stripe needs, wired: what it reads, what it writes, what it calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from meterline_api.billing.stripe.client import Stripe
from meterline_api.billing.stripe.failpoint import Failpoint
from meterline_api.billing.stripe.ledger import Ledger
from meterline_api.billing.stripe.pusher import Beat, Pusher, nobody_waits
from meterline_api.billing.stripe.reconcile import Reconciler
from meterline_api.billing.stripe.sending import Sender
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.settings import KafkaSettings


@dataclass(frozen=True)
class Site:
    ledger: Ledger
    stripe: Stripe
    pusher: Pusher
    reconciler: Reconciler


def utc_now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def opened(
    settings: StripeSettings,
    kafka: KafkaSettings,
    audit: AuditLog,
    clock: Callable[[], datetime] = utc_now,
    beat: Beat = nobody_waits,
) -> Iterator[Site]:
    """Closed at the end; ``audit`` stays open. ``beat`` as of ``Pusher``.

    Raises:
        ConfigurationError: there is no key of Stripe.
    """
    stripe = Stripe(settings)
    failpoint = Failpoint(settings.crash)
    path = None if settings.ledger is None else str(settings.ledger)
    with closing(Ledger(kafka, audit, path)) as ledger, closing(Sender(stripe, settings, clock, failpoint)) as sender:
        pusher = Pusher(ledger, sender, clock, settings.batch, failpoint, beat)
        yield Site(ledger, stripe, pusher, Reconciler(ledger, stripe, sender, pusher, clock, settings.propagation))
