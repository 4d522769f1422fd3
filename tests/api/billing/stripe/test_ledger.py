"""The index is a copy of the topic: made anew where it is missing or of another topic, shared without harm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest

from meterline_api.billing.stripe.answers import Verdict, verdict
from meterline_api.billing.stripe.errors import LedgerError
from meterline_api.billing.stripe.index import Index
from meterline_api.billing.stripe.ledger import Ledger
from meterline_schemas import topics
from meterline_schemas.audit.log import AuditLog, Write
from meterline_schemas.billing.push import Push, PushState, encode
from meterline_schemas.kafka_log import Record
from meterline_schemas.settings import KafkaSettings
from tests.services.kafka import create_topics

AT = datetime(2026, 11, 20, 1, tzinfo=UTC)


def intent(number: int = 1, revision: int = 1, value: int = 5, state: PushState = PushState.INTENT) -> Push:
    return Push(f"cus_{number}", "mtr", date(2026, 11, 19), revision, value, f"t{number}", "orders", state, AT)


def delivered(push: Push) -> Push:
    return msgspec.structs.replace(push, state=PushState.DELIVERED)


class Ledgers:
    """Of one topic, as several processes have them."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.kafka = kafka
        self._stack = ExitStack()

    def open(self, path: Path | None = None) -> Ledger:
        audit = self._stack.enter_context(closing(AuditLog(self.kafka)))
        return self._stack.enter_context(closing(Ledger(self.kafka, audit, None if path is None else str(path))))

    def write(self, *records: tuple[bytes, bytes]) -> None:
        """As no ledger would."""
        with closing(AuditLog(self.kafka)) as audit:
            audit.write(lambda: ([Write(topics.PUSHES, 0, *record) for record in records], ()))

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def ledgers(kafka: str, prefix: str) -> Iterator[Ledgers]:
    create_topics(kafka, prefix, 1)
    found = Ledgers(KafkaSettings(kafka=kafka, topic_prefix=prefix))
    yield found
    found.close()


def test_intents_and_outcomes_are_decided_on_what_others_wrote_meanwhile(ledgers: Ledgers) -> None:
    one, other = ledgers.open(), ledgers.open()
    assert one.intend([intent(1), intent(2)]).standing == (intent(1), intent(2))
    taken = other.intend([intent(1), intent(2, value=6), intent(3)])
    assert taken.standing == (intent(1), intent(3)), "the same identifier and value stands, whoever wrote it"
    assert taken.foreign == (intent(2),)
    assert other.intend([intent(2, revision=2, value=6)]).foreign == (intent(2),), "it has no outcome yet"
    other.settle([delivered(intent(1))])
    one.settle([msgspec.structs.replace(intent(1), state=PushState.REFUSED)])
    assert one.index.find(intent(1)) == delivered(intent(1)), "an outcome is not written over"
    assert one.intend([intent(1, revision=2, value=9)]).standing
    other.settle([delivered(intent(1))])
    assert other.index.find(intent(1)) == intent(1, revision=2, value=9), "nor is a newer revision"
    one.settle([msgspec.structs.replace(intent(3), state=PushState.REFUSED)])
    other.settle([delivered(intent(3))])
    assert other.index.find(intent(3)) == delivered(intent(3)), "one of two was heard"


def test_an_index_on_disk_goes_on_and_is_made_anew_where_it_is_missing(ledgers: Ledgers, tmp_path: Path) -> None:
    path = tmp_path / "pushes.db"
    ledgers.open(path).intend([intent(1)])
    again = ledgers.open(path)
    assert again.index.find(intent(1)) == intent(1), "before anything is read"
    ledgers.open().intend([intent(2)])
    again.read()
    assert again.index.find(intent(2)) == intent(2)
    again.close()
    for each in tmp_path.glob("pushes.db*"):
        each.unlink()
    anew = ledgers.open(path)
    anew.read()
    assert [anew.index.find(intent(number)) for number in (1, 2)] == [intent(1), intent(2)]


def test_an_index_of_a_topic_that_was_made_anew_is_not_believed(ledgers: Ledgers, tmp_path: Path) -> None:
    path = tmp_path / "pushes.db"
    first = ledgers.open(path)
    first.read()
    stale = [Record(number, push.key, encode(push)) for number, push in enumerate(map(intent, range(5)))]
    first.index.take(stale)
    first.close()
    ledgers.write(*((push.key, encode(push)) for push in map(intent, range(10, 17))))
    found = ledgers.open(path)
    found.read()
    assert found.index.find(intent(1)) is None
    assert found.index.find(intent(12)) == intent(12)


def test_a_record_that_cannot_be_read_stops_everything(ledgers: Ledgers) -> None:
    ledgers.write((b"key", b'{"customer":1}'))
    with pytest.raises(LedgerError, match="a newer version of Meterline"):
        ledgers.open().catch_up()


def test_what_lies_before_never_takes_the_place_of_what_lies_behind(tmp_path: Path) -> None:
    one, other = (Index(str(tmp_path / "pushes.db"), "topic") for _ in range(2))
    old, new = intent(1), intent(1, revision=2, value=8)
    one.take([Record(1, old.key, encode(old)), Record(2, new.key, encode(new))])
    other.take([Record(1, old.key, encode(old))])
    assert one.find(old) == new
    assert one.position == 3
    one.close()
    other.close()


def test_pages_of_what_is_not_settled_miss_nothing() -> None:
    index = Index(":memory:", "topic")
    pushes = [intent(number, state=list(PushState)[number % 3]) for number in range(30)]
    index.take([Record(number, push.key, encode(push)) for number, push in enumerate(pushes)])
    found: list[Push] = []
    while page := index.unsettled(PushState.INTENT, found[-1] if found else None, limit=3):
        found += page
    assert {push.key for push in found} == {push.key for push in pushes if push.state is PushState.INTENT}
    assert len(list(index.since(date(2026, 11, 19)))) == 30
    assert list(index.since(date(2026, 11, 20))) == []
    index.close()


def test_answers_are_taken_at_their_word_and_no_further() -> None:
    repeated = "An event already exists with identifier cus:r1."
    assert verdict(400, repeated, "cus:r1") is Verdict.DELIVERED
    assert verdict(400, repeated, "cus:r2") is Verdict.REFUSED
    assert verdict(400, "A price already uses that lookup key.", "cus:r1") is Verdict.REFUSED
    assert verdict(404, repeated, "cus:r1") is Verdict.REFUSED
    assert {verdict(status, "", "x") for status in (None, 408, 409, 429, 500, 503)} == {Verdict.AGAIN}
    assert {verdict(status, "", "x") for status in (401, 403)} == {Verdict.STOP}
    assert {verdict(status, "", "x") for status in (400, 402, 404, 422)} == {Verdict.REFUSED}
