"""All that a run of items needs, wired."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime

from meterline_api.billing.stripe.client import Stripe
from meterline_api.billing.stripe.failpoint import Failpoint
from meterline_api.billing.stripe.items.ledger import ItemLedger
from meterline_api.billing.stripe.items.plan import Choices
from meterline_api.billing.stripe.items.reconcile import ItemReconciler
from meterline_api.billing.stripe.items.run import ItemRun
from meterline_api.billing.stripe.items.sending import ItemSender
from meterline_api.billing.stripe.pusher import Beat, nobody_waits
from meterline_api.billing.stripe.sending import Sender
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_api.billing.stripe.site import utc_now
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.settings import KafkaSettings


@dataclass(frozen=True)
class ItemSite:
    ledger: ItemLedger
    items: ItemRun
    reconciler: ItemReconciler


def choices_of(settings: StripeSettings) -> Choices:
    return Choices(settings.items_invoice, settings.items_auto_advance, settings.items_base_fee)


@contextmanager
def opened(
    settings: StripeSettings,
    kafka: KafkaSettings,
    audit: AuditLog,
    clock: Callable[[], datetime] = utc_now,
    beat: Beat = nobody_waits,
) -> Iterator[ItemSite]:
    """Closed at the end; ``audit`` stays open.

    Raises:
        ConfigurationError: there is no key of Stripe.
    """
    stripe = Stripe(settings)
    failpoint = Failpoint(settings.crash)
    path = None if settings.items_ledger is None else str(settings.items_ledger)
    with (
        closing(ItemLedger(kafka, audit, path)) as ledger,
        closing(Sender(stripe, settings, clock, failpoint)) as sender,
    ):
        items = ItemSender(stripe, sender, clock)
        run = ItemRun(ledger, items, choices_of(settings), clock, settings.batch, failpoint, beat)
        yield ItemSite(ledger, run, ItemReconciler(ledger, stripe, sender, beat))
