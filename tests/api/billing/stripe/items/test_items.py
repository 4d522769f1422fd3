"""What items say, which lines come to none, an invoice of their own at Stripe, and the comparison afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from meterline_api.billing.stripe.items.plan import NotExactError, in_units
from meterline_api.billing.stripe.items.reconcile import Compared, Kind
from meterline_api.billing.stripe.items.run import Told
from meterline_api.billing.stripe.items.running import outcome_of
from meterline_schemas.billing.invoice import Invoice
from meterline_schemas.billing.item import Item, ItemKind, Items, ItemState
from tests.api.billing.stripe.items.register import Register, never_metered
from tests.api.billing.stripe.stand_in import KEY

AT = datetime(2026, 11, 1, tzinfo=UTC)


def send(register: Register, *, dry_run: bool = False, **more: Any) -> Told:
    return asyncio.run(register.site(**more).items.run(register.customer, never_metered, dry_run=dry_run))


def compare(register: Register) -> Compared:
    async def documents(numbers: Sequence[str]) -> Mapping[str, Invoice]:
        return {number: register.documents[number] for number in numbers}

    return asyncio.run(register.site().reconciler.reconcile(documents))


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [
        ("1.25", "EUR", 125),
        ("-1.25", "USD", -125),
        ("125", "JPY", 125),
        ("1.250", "KWD", 1250),
        ("-0.010", "KWD", -10),
        ("5", "ISK", 500),
        ("7", "UGX", 700),
    ],
)
def test_amounts_are_told_in_the_units_that_stripe_counts_in(amount: str, currency: str, units: int) -> None:
    assert in_units(Decimal(amount), currency) == units


@pytest.mark.parametrize(("amount", "currency"), [("1.255", "KWD"), ("0.20", "MGA"), ("0.0001", "CLF")])
def test_an_amount_that_stripe_has_no_units_for_is_never_rounded(amount: str, currency: str) -> None:
    with pytest.raises(NotExactError, match=f"{currency} exactly"):
        in_units(Decimal(amount), currency)


def test_each_line_with_an_amount_is_an_item_that_says_what_it_is_of(register: Register) -> None:
    [number, *_] = register.close("19.00", "0.00", "1.25")
    told = send(register)
    assert (told.documents, told.delivered, told.amounts) == (3, 6, {"eur": 6075})
    items = [item for item in register.items() if item["metadata"]["meterline_invoice"] == number]
    fee, usage = sorted(items, key=lambda item: item["metadata"]["meterline_line"])
    assert (fee["description"], usage["description"]) == ("Basic", "API calls · 102 call")
    assert usage["metadata"] == {
        "meterline_invoice": number,
        "meterline_line": "3",
        "meterline_tenant": "tenant-0",
        "meterline_metric": "calls",
    }
    document = register.documents[number]
    assert usage["period"] == {"start": int(document.start.timestamp()), "end": int(document.end.timestamp())}
    assert usage["invoice"] is None, "it waits for the customer's next invoice"


def test_yen_and_dinars_come_to_the_same_sum_and_what_cannot_be_said_is_named(register: Register) -> None:
    register.close("1000", "25", currency="JPY")
    register.close("19.500", "1.250", currency="KWD")
    named = register.close("2.000", "1.255", currency="KWD")
    told = send(register)
    assert len(told.problems) == told.left == 3
    assert f"{named[0]}, line 2" in told.problems[0]
    assert "1.255 KWD exactly" in told.problems[0]
    amounts = {(item["currency"], item["amount"]) for item in register.items()}
    assert amounts == {("jpy", 1000), ("jpy", 25), ("kwd", 19500), ("kwd", 1250), ("kwd", 2000)}


@pytest.mark.parametrize("billing", ["invoice", "meter", "none", ""])
def test_documents_of_who_is_charged_otherwise_come_to_nothing(register: Register, billing: str) -> None:
    [number, *_] = register.close("19.00", "1.25", billing=billing)
    register.void(number)
    told = send(register)
    assert (told.documents, told.delivered, register.items()) == (0, 0, [])


def test_base_fees_may_be_left_to_something_else_and_so_are_those_of_their_voids(register: Register) -> None:
    [number, *_] = register.close("19.00", "1.25")
    assert send(register, items_base_fee=False).delivered == 3
    note = register.void(number)
    assert send(register).delivered == 1
    assert {key for key in register.sent() if key[0] in (number, note)} == {(number, "2", 125), (note, "2", -125)}


def test_usage_that_a_meter_at_stripe_has_is_not_sent_again(register: Register) -> None:
    register.close("19.00", "1.25")
    ask = register.site().items.run(register.customer, lambda tenant, *_more: tenant == "tenant-1")
    told = asyncio.run(ask)
    assert told.delivered == 5
    assert len(told.problems) == 1
    assert "charged twice" in told.problems[0]


def test_a_tenant_without_a_customer_stops_no_other_and_is_sent_once_it_has_one(register: Register) -> None:
    register.close("19.00")
    customer = register.customers.pop("tenant-1")
    told = send(register)
    assert told.delivered == 2
    assert ["give it one" in problem for problem in told.problems] == [True]
    register.customers["tenant-1"] = "cus_nobody"
    told = send(register)
    assert (told.delivered, told.refused) == (0, 1)
    assert "No such customer: 'cus_nobody'" in told.problems[0]
    register.customers["tenant-1"] = customer
    assert send(register).delivered == 1
    register.check()


def test_a_dry_run_lists_what_would_be_sent_and_sends_nothing(register: Register) -> None:
    [number, *_] = register.close("19.00", "1.25")
    told = send(register, dry_run=True)
    assert (told.documents, told.open, told.amounts) == (3, 6, {"eur": 6075})
    result = outcome_of(told).result
    assert result[f"{number} line 2"] == "125 eur to the customer of tenant tenant-0: API calls · 101 call"
    assert (register.items(), register.records()) == ([], [])


@pytest.mark.parametrize(
    ("choice", "status", "auto_advance"),
    [("draft", "draft", False), ("draft", "draft", True), ("finalize", "open", False)],
)
def test_a_document_may_have_an_invoice_of_its_own_at_stripe(
    register: Register, choice: str, status: str, auto_advance: bool
) -> None:
    numbers = register.close("19.00", "1.25")
    chosen: dict[str, Any] = {"items_invoice": choice, "items_auto_advance": auto_advance}
    register.stripe.control("faults", kind="drop", path="/v1/invoices", method="POST", times=4)
    told = send(register, **chosen)
    assert (told.delivered, told.open, told.problems) == (6, 0, [])
    found = {each["metadata"]["meterline_invoice"]: each for each in register.invoices()}
    assert sorted(found) == numbers
    assert len(register.invoices()) == 3
    shown = {(each["total"], each["status"], each["auto_advance"]) for each in found.values()}
    assert shown == {(2025, status, auto_advance)}
    assert send(register, **chosen).delivered == 0
    register.check()


def test_what_agrees_is_counted_and_each_difference_is_told(register: Register) -> None:
    first, second, third = register.close("19.00", "1.25")
    send(register)
    assert (compare(register).items, compare(register).differences) == (6, [])
    by_line = {tuple(i["metadata"][f"meterline_{n}"] for n in ("invoice", "line")): i for i in register.items()}
    headers = {"Authorization": f"Bearer {KEY}"}
    address = f"{register.stripe.url}/v1/invoiceitems"
    with httpx.Client(headers=headers, trust_env=False) as client:
        assert client.delete(f"{address}/{by_line[first, '1']['id']}").is_success
        assert client.post(f"{address}/{by_line[second, '2']['id']}", data={"amount": "130"}).is_success
        twice = {
            "customer": register.customers["tenant-2"],
            "amount": "125",
            "currency": "eur",
            "metadata[meterline_invoice]": third,
            "metadata[meterline_line]": "2",
        }
        assert client.post(address, data=twice).is_success
        assert client.post(address, data=twice | {"metadata[meterline_invoice]": "INV-9"}).is_success
    found = {(each.number, each.line, each.kind, each.ledger, each.stripe) for each in compare(register).differences}
    assert found == {
        (first, "1", Kind.STRIPE_LACKS, 1900, None),
        (second, "2", Kind.STRIPE_DIFFERS, 125, 130),
        (third, "2", Kind.STRIPE_MORE, 125, 250),
        ("INV-9", "2", Kind.STRIPE_MORE, None, 125),
    }
    assert send(register).delivered == 0, "nothing is put right by itself"


def test_an_idempotency_key_is_never_that_of_another_thing() -> None:
    def document(number: str, customer: str) -> Items:
        return Items(number, "t", "eur", AT, (), customer)

    items = [Item(kind, ItemState.DUE, AT, line, attempt=n) for kind in ItemKind for line in (0, 1) for n in (1, 2)]
    documents = [document(number, customer) for number in ("INV-1", "INV-11") for customer in ("cus_1", "cus_2")]
    keys = {each.idempotency_key(item) for each in documents for item in items}
    assert len(keys) == len(documents) * len(items)
    assert max(map(len, keys)) < 255


def test_one_customer_gets_one_item_at_a_time(register: Register) -> None:
    register.stripe.control("settings", event_seconds=0.03)
    for number in range(3):
        register.close("19.00", f"{number}.25", issued_at=datetime.now(UTC) - timedelta(hours=number))
    before = len(register.stripe.requests())
    assert send(register, in_flight=8, batch=50).delivered == 18
    register.stripe.control("settings", event_seconds=0.002)
    calls = [each for each in register.stripe.requests()[before:] if each["path"] == "/v1/invoiceitems"]
    assert len(calls) == 18, "none was answered 429 and tried again"
    register.check()
