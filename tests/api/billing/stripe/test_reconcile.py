"""Stripe, ledger and usage beside each other: what differs is shown, and only what Stripe lacks is sent again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from meterline_api.billing.stripe.reconcile import Compared, Kind
from tests.api.billing.stripe.company import Company
from tests.api.billing.stripe.stand_in import KEY


def reconcile(company: Company, **more: Any) -> Compared:
    site = company.site(propagation=timedelta(0))
    today = datetime.now(UTC).date()
    start = today - timedelta(days=10)
    return asyncio.run(site.reconciler.reconcile(company.totals(), company.terms, start, today, **more))


def push(company: Company) -> None:
    asyncio.run(company.site().pusher.push(company.totals(), company.terms))


def tell(company: Company, tenant: str, value: int, back: int) -> None:
    """As somebody else would, past the ledger."""
    terms = company.terms
    noon = datetime.now(UTC).replace(hour=12, minute=0) - timedelta(days=back)
    form = {
        "event_name": terms.meters["orders"].event_name,
        "timestamp": str(int(noon.timestamp())),
        "payload[stripe_customer_id]": terms.customers[tenant],
        "payload[value]": str(value),
    }
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = httpx.post(f"{company.stripe.url}/v1/billing/meter_events", data=form, headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text


def test_what_agrees_is_counted_and_nothing_is_told(company: Company) -> None:
    company.use(days=3)
    push(company)
    compared = reconcile(company)
    assert (compared.days, compared.differences, compared.unknown) == (18, [], [])


def test_too_much_is_shown_and_too_little_is_sent_again_as_a_new_revision(company: Company) -> None:
    company.use(days=2)
    push(company)
    tell(company, "tenant-0", 5000, back=1)
    tell(company, "tenant-1", 3, back=1)
    tell(company, "tenant-2", 7, back=5)
    shown = reconcile(company, dry_run=True)
    found = {(each.tenant_id, each.kind, each.usage, each.ledger, each.stripe) for each in shown.differences}
    assert found == {
        ("tenant-0", Kind.STRIPE_MORE, 101, 101, 5000),
        ("tenant-1", Kind.STRIPE_LESS, 102, 102, 3),
        ("tenant-2", Kind.STRIPE_MORE, 0, 0, 7),
    }
    assert shown.repeated.delivered == 0
    compared = reconcile(company)
    assert compared.repeated.delivered == 1
    again = reconcile(company)
    assert {each.tenant_id for each in again.differences} == {"tenant-0", "tenant-2"}
    days = company.days()
    assert 5000 in days.values(), "what Stripe has too much of is never put right by itself"
    assert 3 not in days.values()


def test_what_was_told_a_moment_ago_is_not_missed_yet(company: Company) -> None:
    company.use(days=1)
    push(company)
    tell(company, "tenant-1", 3, back=1)
    today = datetime.now(UTC).date()
    reconciler = company.site(propagation=timedelta(hours=1)).reconciler
    found = asyncio.run(reconciler.reconcile(company.totals(), company.terms, today - timedelta(days=2), today))
    assert found.differences == []


def test_usage_that_the_ledger_never_told_is_shown_with_both_numbers(company: Company) -> None:
    company.use(days=1)
    push(company)
    company.use(days=1, value=40)
    found = {(each.kind, each.usage, each.ledger) for each in reconcile(company).differences}
    assert found == {(Kind.NOT_TOLD, 140 + number, 101 + number) for number in range(3)}


def test_a_customer_that_stripe_does_not_know_is_named_and_the_others_are_compared(company: Company) -> None:
    company.use(days=1)
    push(company)
    customer = company.terms.customers["tenant-0"]
    headers = {"Authorization": f"Bearer {KEY}"}
    httpx.delete(f"{company.stripe.url}/v1/customers/{customer}", headers=headers, trust_env=False)
    compared = reconcile(company)
    assert compared.days == 4
    assert len(compared.unknown) == 2
    assert all(customer in each and "refused" in each for each in compared.unknown)
