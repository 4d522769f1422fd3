"""Documents that are charged at Stripe by invoice items, as rows: what the real sink makes of the real topic."""

from __future__ import annotations

import random
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from meterline_schemas.billing.item import MARK, Item, ItemKind, Items, ItemState, Mark, encode
from meterline_sinks.item_rows import item_row, state_of
from meterline_sinks.rows import UnreadableError
from tests.sinks.conftest import Tables
from tests.sinks.harness import ITEMS, Feed, Sinks
from tests.support.streams import wait_until

AT = datetime(2026, 12, 1, 0, 45, 0, 123000, tzinfo=UTC)
MONTH = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
SHOWN = "SELECT * EXCEPT (issued_at, at), toString(issued_at), toString(at) FROM stripe_items ORDER BY number"


def item(line: int, state: ItemState, amount: int, **more: Any) -> Item:
    found = Item(ItemKind.ITEM, state, AT + timedelta(seconds=line), line, amount, "API calls · 5 calls", "calls")
    return replace(found, start=MONTH[0], end=MONTH[1], **more)


def document(number: str, *items: Item, **more: Any) -> Items:
    return replace(Items(number, "acme", "eur", AT, items), **more)


def put(feed: Feed, items: Items) -> int:
    return feed.record(ITEMS, 0, encode(items), items.key)


def drained(feed: Feed) -> None:
    wait_until(feed.drained, 60, "everything is committed")


def test_a_document_is_a_row_with_what_is_there_of_it(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    due = document("INV-1", item(1, ItemState.DUE, 1900), item(2, ItemState.DUE, 125))
    intent = [replace(each, state=ItemState.INTENT) for each in due.items]
    first = replace(intent[0], state=ItemState.DELIVERED, id="ii_1", request_id="req_1")
    put(feed, due)
    feed.record(ITEMS, 0, encode(Mark(7)), MARK)
    put(feed, document("INV-1", *intent, customer="cus_1"))
    put(feed, document("INV-1", first, intent[1], customer="cus_1"))
    own = Item(ItemKind.INVOICE, ItemState.DELIVERED, AT, id="in_1")
    left = item(1, ItemState.LEFT, 900, detail="base fees are charged otherwise")
    refused = item(3, ItemState.REFUSED, 5, detail="No such customer")
    put(feed, document("INV-2", own, left, item(2, ItemState.DELIVERED, 33, id="ii_2"), customer="cus_1"))
    put(feed, document("CN-1", item(2, ItemState.DELIVERED, -33, id="ii_3"), refused, customer="cus_1", of="INV-2"))
    sinks.start("one")
    drained(feed)
    acme, at = ("acme",), "2026-12-01 00:45:0"
    assert tables.rows(SHOWN) == [
        (*acme, "CN-1", "INV-2", "cus_1", "refused", "EUR", -28, -33, [2], ["ii_3"], "", "No such customer",
         f"{at}0.123", f"{at}3.123"),
        (*acme, "INV-1", "", "cus_1", "intent", "EUR", 2025, 1900, [1], ["ii_1"], "", "", f"{at}0.123", f"{at}2.123"),
        (*acme, "INV-2", "", "cus_1", "delivered", "EUR", 33, 33, [2], ["ii_2"], "in_1",
         "base fees are charged otherwise", f"{at}0.123", f"{at}2.123"),
    ]  # fmt: skip
    both = [first, replace(intent[1], state=ItemState.DELIVERED, id="ii_9")]
    put(feed, document("INV-1", *both, customer="cus_1"))
    drained(feed)
    query = "SELECT state, delivered, ids FROM stripe_items WHERE number = 'INV-1'"
    assert tables.rows(query) == [("delivered", 2025, ["ii_1", "ii_9"])]
    ((kept,),) = tables.rows("SELECT items[1] FROM stripe_items_raw FINAL WHERE number = 'INV-1'")
    assert kept["description"] == "API calls · 5 calls", "text is kept as it is"
    assert "passed over" not in sinks.log("one"), "the mark is left out on purpose"


@pytest.mark.parametrize("step", ["before_insert", "after_insert"])
def test_rebuilt_from_the_topic_it_is_the_same_whatever_died(
    feed: Feed, sinks: Sinks, tables: Tables, step: str
) -> None:
    chance, last = random.Random(88), dict[str, Items]()
    for turn in range(60):
        number = f"INV-{chance.randrange(5)}"
        states = chance.choices(list(ItemState), k=chance.randint(1, 4))
        lines = [item(line, state, chance.randrange(-500, 5000)) for line, state in enumerate(states, 1)]
        last[number] = document(number, *lines, customer=f"cus_{turn}")
        put(feed, last[number])
    sinks.start("one", METERLINE_SINK_CRASH=step)
    assert sinks.exit_code("one") == -signal.SIGKILL
    sinks.start("one", METERLINE_SINK_FLUSH_BYTES="1")
    drained(feed)
    found = tables.rows(SHOWN)
    expected = []
    for number, each in sorted(last.items()):
        there = [one.amount for one in each.items if one.state is ItemState.DELIVERED]
        going = [one.amount for one in each.items if one.state is not ItemState.LEFT]
        expected.append((number, each.customer, sum(going), sum(there)))
    assert [(row[1], row[3], row[6], row[7]) for row in found] == expected
    assert sinks.stop("one") == 0
    tables.command("TRUNCATE TABLE stripe_items_raw")
    feed.forget_group()
    sinks.start("one")
    drained(feed)
    assert tables.rows(SHOWN) == found


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (("delivered", "left", "delivered"), "delivered"),
        (("delivered", "due"), "due"),
        (("due", "intent", "delivered"), "intent"),
        (("intent", "refused", "due"), "refused"),
        (("left", "left"), "left"),
    ],
)
def test_the_state_of_a_document_is_that_of_what_needs_somebody_first(states: tuple[str, ...], state: str) -> None:
    assert state_of(item(line, ItemState(each), 1) for line, each in enumerate(states)) == state


def test_what_is_no_document_is_told() -> None:
    assert item_row(1, MARK, encode(Mark(7))) is None
    for value in (b"", b"{", b'{"number": 1}'):
        with pytest.raises(UnreadableError, match="it is no document's items: "):
            item_row(1, b"items/INV-1", value)
