"""The ledger in memory, statements and cursors of the list, and what OpenAPI says of notifications: without servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.models import ProblemModel
from meterline_api.notifications import examples
from meterline_api.notifications.deliveries import Deliveries
from meterline_api.notifications.desk import Desk, NobodyError
from meterline_api.notifications.listing import ListQuery, build, read_cursor, write_cursor
from meterline_api.notifications.models import NotificationAnswer, NotificationDetail, ResendAnswer, ResendRequest
from meterline_api.problems import Code
from meterline_api.quotas.publisher import Keyed
from meterline_schemas.delivery import Attempt, Delivery, Resend, State
from meterline_schemas.notification import Type

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def delivery(id: str, target: str = "webhook/crm", minutes: int = 0, **fields: Any) -> Delivery:
    body = {"id": id, "timestamp": AT + timedelta(minutes=minutes), "data": {"of": "another type"}}
    return Delivery(
        **{
            "notification_id": id,
            "type": "threshold.exceeded",
            "tenant_id": "acme",
            "target": target,
            "targets": ("webhook/crm", "webhook/erp"),
            "state": State.PENDING,
            "notification": msgspec.Raw(msgspec.json.encode(body)),
            **fields,
        }
    )


def apply(deliveries: Deliveries, *entries: Delivery | Resend, partition: int = 0) -> None:
    for entry in entries:
        assert deliveries.apply(partition, entry.encode()) is None


def known(deliveries: Deliveries, *ids: str) -> list[str]:
    return [id for id in ids if deliveries.find(id) is not None]


def test_the_newest_record_of_each_target_stands_without_its_body() -> None:
    deliveries = Deliveries()
    attempt = Attempt(number=1, at=AT, seconds=0.5, status=200)
    apply(
        deliveries,
        delivery("a", "webhook/erp"),
        delivery("a"),
        delivery("a", state=State.DELIVERED, attempts=(attempt,)),
        partition=2,
    )
    found = deliveries.find("a")
    assert found is not None
    assert (found.partition, found.targets) == (2, {"webhook/crm", "webhook/erp"})
    assert [(each.target, each.state, each.attempts) for each in found.deliveries] == [
        ("webhook/crm", State.DELIVERED, (attempt,)),
        ("webhook/erp", State.PENDING, ()),
    ]
    assert {bytes(each.notification) for each in found.deliveries} == {b"null"}


def test_requests_removals_and_what_cannot_be_read_change_nothing() -> None:
    deliveries = Deliveries()
    apply(deliveries, delivery("a"), Resend(id="r", notification_id="b"))
    assert deliveries.apply(0, None) is None
    for value in (b"{", b"{}", delivery("b", notification=msgspec.Raw(b'{"timestamp": "soon"}')).encode()):
        assert deliveries.apply(0, value)
    assert known(deliveries, "a", "b") == ["a"]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_what_lies_furthest_back_is_let_go_of_in_whatever_order_it_is_read(order: tuple[int, ...]) -> None:
    deliveries = Deliveries(most=2)
    for minutes in order:
        apply(deliveries, delivery(f"{minutes}", minutes=minutes))
    assert known(deliveries, *"0123") == ["2", "3"]
    assert deliveries.before == AT + timedelta(minutes=1)
    apply(deliveries, delivery("1", minutes=1), delivery("3", "webhook/erp", minutes=3))
    assert known(deliveries, *"0123") == ["2", "3"]


def test_bytes_are_bounded_as_well() -> None:
    long = (Attempt(number=1, at=AT, seconds=0, error="x" * 10_000),)
    deliveries = Deliveries(most_bytes=35_000)
    for minutes in range(10):
        apply(deliveries, delivery(f"{minutes}", minutes=minutes, attempts=long))
        apply(deliveries, delivery(f"{minutes}", minutes=minutes, attempts=long))
    assert known(deliveries, *"0123456789") == ["7", "8", "9"]


@given(st.integers(0, 10_413_791_999_999), st.text(min_size=1, max_size=300))
def test_a_cursor_comes_back_as_the_place_that_was_written(milliseconds: int, id: str) -> None:
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    shown = NotificationAnswer.model_construct(id=id, timestamp=instant)
    assert read_cursor(write_cursor(shown)) == (milliseconds, id)


def test_a_value_is_never_part_of_the_statement() -> None:
    evil = "'; DROP TABLE notifications; --"
    sql, parameters = build(ListQuery(Type.METRIC_DEFINED, (evil,), evil, AT, AT, 7, read_cursor("MSBh")))
    assert evil not in sql
    assert (parameters["tenants"], parameters["limit"]) == ([evil], 8)
    assert all(f"{{{name}:" in sql for name in parameters)


@pytest.mark.parametrize(("microseconds", "milliseconds"), [(0, 0), (1, 1), (1000, 1), (1001, 2)])
def test_a_bound_between_two_milliseconds_is_neither_before_nor_behind_what_it_should(
    microseconds: int, milliseconds: int
) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    assert build(ListQuery(start=at))[1]["from"] == milliseconds


class Table:
    """One notification, on partition 3."""

    async def rows(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        row = ("a", "metric.defined", 1_795_262_400_000, "", "orders", "", "", None, None, None, None, None, None)
        return [(*row, "{}", 3)] if parameters["id"] == "a" else []


class Topic:
    def publish(self, records: Iterable[Keyed]) -> None:
        raise AssertionError("nothing is to be written")


@pytest.mark.parametrize(("trouble", "newest", "home"), [("", 0, None), ("not read yet", 0, 3), ("", 60 * 24 * 400, 3)])
def test_whether_there_is_something_to_resend_is_not_claimed_where_it_is_not_known(
    trouble: str, newest: int, home: int | None
) -> None:
    deliveries = Deliveries(most=1)
    if newest:
        apply(deliveries, delivery("b", minutes=newest), delivery("c", minutes=newest + 1))
    desk = Desk(Table(), deliveries, Topic(), lambda: trouble, lambda _id: False)
    note = desk.fate("a", AT).note
    if home is None:
        assert note == "nobody was to be told of it, or the notifier has not read it yet"
        with pytest.raises(NobodyError, match="nothing to send again"):
            asyncio.run(desk.home("a", ""))
    else:
        assert note == "what became of it is not known: not read yet" if trouble else "it can be resent" in (note or "")
        assert asyncio.run(desk.home("a", "")) == home
    assert asyncio.run(desk.home("unknown", "")) is None


def test_examples_are_true() -> None:
    for answers in (examples.LIST, examples.ONE, examples.RESEND):
        for status, answer in answers.items():
            ((_media, content),) = answer["content"].items()
            if int(status) >= 400:
                ProblemModel.model_validate(content["example"])
                assert content["example"]["status"] == status
                assert content["example"]["code"] in set(Code)
    shown = {name: answers[200]["content"]["application/json"]["example"] for name, answers in
             (("list", examples.LIST), ("one", examples.ONE))}  # fmt: skip
    assert read_cursor(shown["list"]["next_cursor"]) is not None
    for each in shown["list"]["data"]:
        NotificationAnswer.model_validate(each)
    NotificationDetail.model_validate(shown["one"])
    ResendAnswer.model_validate(examples.RESEND[202]["content"]["application/json"]["example"])
    ResendRequest.model_validate(examples.RESEND_REQUEST["requestBody"]["content"]["application/json"]["example"])
