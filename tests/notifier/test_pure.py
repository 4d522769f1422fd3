"""The notifier's core: who is told, what comes of an attempt, which addresses are public, what a mail says."""

from __future__ import annotations

import asyncio
import base64
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook as Verifier

from meterline_schemas.catalog import Action, Book, Entry, Webhook
from meterline_schemas.delivery import MAX_ATTEMPTS, Delivery, Resend, State, decode
from meterline_schemas.notification import Notification, RunProblems, Type, notification
from meterline_sinks.notifier import audience, mail
from meterline_sinks.notifier.addresses import is_public
from meterline_sinks.notifier.dispatcher import Dispatcher
from meterline_sinks.notifier.index import Index, Open
from meterline_sinks.notifier.outcome import Outcome, Policy, after
from meterline_sinks.notifier.settings import NotifySettings, SmtpSettings
from meterline_sinks.notifier.signature import signed_headers
from meterline_sinks.notifier.smtp_url import read_smtp_url
from tests.notifier.harness import AT, SECRET, crossed, threshold, webhook
from tests.notifier.test_schema import example

URL = "https://example.com/"
POLICY = Policy((5, 30, 120), 86_400)


def told(record: Notification, *entries: Entry, removed: Entry | None = None) -> set[str]:
    book = Book()
    for entry in entries:
        assert book.apply(entry.record_key, entry.encode()) is None
    gone = {removed.identity: removed} if removed is not None else {}
    value = record.encode()
    found = audience.deliveries(audience.read(value), value, book, gone)  # type: ignore[arg-type]
    assert all(set(each.targets) == {other.target for other in found} for each in found)
    return {each.target for each in found}


# who is told


def test_webhooks_get_the_types_and_tenants_that_they_want() -> None:
    hooks = (
        webhook("all", URL),
        webhook("exceeded", URL, events=("threshold.exceeded",)),
        webhook("acme", URL, tenant_id="acme"),
        webhook("off", URL, enabled=False),
    )
    assert told(crossed(), *hooks) == {"webhook/all", "webhook/exceeded", "webhook/acme"}
    assert told(crossed(type=Type.THRESHOLD_RESOLVED), *hooks) == {"webhook/all", "webhook/acme"}
    assert told(crossed(tenant="globex"), *hooks) == {"webhook/all", "webhook/exceeded"}
    assert told(example(Type.METRIC_DEFINED), *hooks) == {"webhook/all", "webhook/acme"}


@pytest.mark.parametrize("named", [None, (), ("b",)])
def test_a_threshold_that_names_webhooks_is_told_to_no_others(named: tuple[str, ...] | None) -> None:
    entries = (webhook("a", URL), webhook("b", URL), threshold(notify_webhooks=named))
    wanted = {"webhook/a", "webhook/b"} if named is None else {f"webhook/{id}" for id in named}
    for record in (crossed(), example(Type.BILLING_THRESHOLD_EXCEEDED)):
        assert told(record, *entries) == wanted
    assert told(example(Type.METRIC_DEFINED), *entries) == {"webhook/a", "webhook/b"}


def test_mailboxes_hear_of_a_threshold_once_and_not_in_its_second_form() -> None:
    entry = threshold(notify_emails=("a@example.com", "b@example.com"))
    for type in (Type.THRESHOLD_APPROACHING, Type.THRESHOLD_EXCEEDED, Type.THRESHOLD_RESOLVED):
        assert told(crossed(type=type), entry) == {"email/a@example.com", "email/b@example.com"}
    assert told(example(Type.BILLING_THRESHOLD_EXCEEDED), entry) == set()


def test_a_threshold_without_an_action_is_told_to_nobody() -> None:
    entry = threshold(action=Action.NONE, notify_emails=("a@example.com",))
    assert told(crossed(), webhook("a", URL), entry) == set()
    assert told(example(Type.BILLING_THRESHOLD_EXCEEDED), webhook("a", URL), entry) == set()
    assert told(crossed(action="none"), webhook("a", URL)) == set()


def test_who_was_told_of_a_threshold_is_told_that_it_was_deleted() -> None:
    entry = threshold(notify_emails=("a@example.com",), notify_webhooks=("b",))
    record = crossed(type=Type.THRESHOLD_RESOLVED, action="none", reason="threshold_deleted")
    hooks = webhook("a", URL), webhook("b", URL)
    assert told(record, *hooks, removed=entry) == {"email/a@example.com", "webhook/b"}
    assert told(record, *hooks) == {"webhook/a", "webhook/b"}


def test_operators_are_told_of_runs_with_problems_and_of_no_thresholds() -> None:
    data = RunProblems(
        job="push", due=AT, state="failed", begun_at=AT, ended_at=AT, count=2, problems=["no\r\nBcc: x", "second"]
    )
    value = notification(Type.RUN_PROBLEMS, AT, "", data, ("push",)).encode()
    heard = audience.read(value)
    found = audience.deliveries(heard, value, Book(), {}, ("ops@example.com",))
    assert [each.target for each in found] == ["email/ops@example.com"]
    sent = mail.message(heard.id, heard.type, heard.timestamp, heard.data, "meter@example.com", "ops@example.com")
    assert sent["Subject"] == f"push for {AT:%Y-%m-%dT%H:%M:%SZ}: 2 problems, and failed"
    assert sent["Bcc"] is None
    assert "Problems:\n  no??Bcc: x\n  second\n" in sent.get_content().replace("\r\n", "\n")
    of_threshold = crossed(1).encode()
    assert not audience.deliveries(audience.read(of_threshold), of_threshold, Book(), {}, ("ops@example.com",))


# what comes of an attempt


def pending(number: int = 1, target: str = "webhook/a", targets: tuple[str, ...] = ("webhook/a",)) -> Delivery:
    value = crossed(number).encode()
    heard = audience.read(value)
    book = Book()
    hook = webhook("a", URL)
    book.apply(hook.record_key, hook.encode())
    (found,) = audience.deliveries(heard, value, book, {})
    return Delivery(**{name: getattr(found, name) for name in found.__struct_fields__} | {
        "target": target, "targets": targets,
    })  # fmt: skip


def test_an_answer_ends_a_delivery() -> None:
    done = after(pending(), Outcome(204), AT, AT + timedelta(seconds=1), POLICY, 0.5)
    assert (done.state, done.next_at, done.attempts[0].seconds) == (State.DELIVERED, None, 1)
    done = after(pending(), Outcome(410, "gone", final=True), AT, AT, POLICY, 0.5)
    assert (done.state, done.attempts[0].error) == (State.FAILED, "gone")


@given(st.lists(st.floats(0, 1), min_size=200, max_size=200))
def test_attempts_grow_rarer_and_end_after_a_day(chances: list[float]) -> None:
    policy = Policy(NotifySettings().retry_delays, NotifySettings().give_up_after)
    delivery, now, pauses = pending(), AT, []
    for chance in chances:
        delivery = after(delivery, Outcome(503, "answered 503"), now, now, policy, chance)
        if delivery.state is State.FAILED:
            break
        assert delivery.next_at is not None
        pauses.append((delivery.next_at - now).total_seconds())
        now = delivery.next_at
    assert delivery.state is State.FAILED
    assert now - AT <= timedelta(hours=24)
    assert all(0.9 * wanted <= pause <= 1.1 * wanted for wanted, pause in zip(policy.delays, pauses, strict=False))
    assert len(pauses) >= 9, "not before about sixteen hours"


def test_the_newest_attempts_are_kept_and_a_resend_starts_the_back_off_again() -> None:
    delivery = pending()
    for _ in range(60):
        delivery = after(delivery.again(), Outcome(500, "x"), AT, AT, POLICY, 0.5)
    assert len(delivery.attempts) == MAX_ATTEMPTS
    assert delivery.attempts[-1].number == 60
    assert delivery.tries == 1
    assert delivery.next_at == AT + timedelta(seconds=5)


# the ledger


def test_a_record_of_the_ledger_is_read_as_it_was_written() -> None:
    delivery = after(pending(), Outcome(503, "no", answer="\x00é"), AT, AT, POLICY, 0.5)
    again = decode(delivery.encode())
    assert isinstance(again, Delivery)
    assert bytes(again.notification) == crossed(1).encode(), "the body keeps its bytes, as it is signed"
    assert again.encode() == delivery.encode()
    assert decode(Resend(id="1", notification_id="n").encode()) == Resend(id="1", notification_id="n")


def test_only_what_is_missing_of_a_first_judgement_is_written_after_a_crash() -> None:
    both = ("webhook/a", "email/b@example.com")
    first, second = pending(1, both[0], both), pending(1, both[1], both)
    later = pending(1, "webhook/defined-since", (*both, "webhook/defined-since"))
    index = Index()
    assert list(index.missing([first, second])) == [first, second]
    assert index.apply(0, 0, first.record_key, first.encode()) is None
    assert list(index.missing([first, second, later])) == [second]
    assert index.apply(0, 1, second.record_key, second.encode()) is None
    assert list(index.missing([first, second, later])) == []
    done = after(first, Outcome(200), AT, AT, POLICY, 0)
    assert index.apply(0, 2, done.record_key, done.encode()) is None
    assert list(index.open) == [second.key]
    assert index.place(first.notification_id, "webhook/a") == (0, 2)
    assert list(index.missing([first, second])) == []


def test_a_request_to_resend_is_there_until_it_is_removed() -> None:
    index = Index()
    request = Resend(id="1", notification_id="n", target="webhook/a")
    index.apply(2, 0, request.record_key, request.encode())
    assert list(index.resends.values()) == [(2, request)]
    index.apply(2, 1, request.record_key, None)
    assert not index.resends
    assert index.apply(2, 2, b"x", b"{}") is not None


def test_what_the_ledger_no_longer_has_is_forgotten() -> None:
    both = ("webhook/a", "email/b@example.com")
    old, half, young = pending(1), pending(2, both[0], both), pending(3)
    elsewhere, opened = pending(4), pending(5)
    index = Index()
    for partition, offset, delivery in ((0, 4, old), (0, 5, half), (0, 10, young), (1, 4, elsewhere)):
        done = after(delivery, Outcome(200), AT, AT, POLICY, 0)
        index.apply(partition, offset, done.record_key, done.encode())
    later = after(pending(2, both[1], both), Outcome(200), AT, AT, POLICY, 0)
    index.apply(0, 11, later.record_key, later.encode())
    index.apply(0, 6, opened.record_key, opened.encode())
    written = pending(6)
    index.note(Open(0, written))
    index.forget({0: 10, 1: 4})
    assert (index.targets(old.notification_id), index.place(old.notification_id, old.target)) == ((), None)
    assert index.targets(half.notification_id) == both
    assert index.place(half.notification_id, both[0]) == (0, 11)
    assert index.place(young.notification_id, young.target) == (0, 10)
    assert index.place(elsewhere.notification_id, elsewhere.target) == (1, 4)
    assert list(index.missing([opened, written])) == [], "they are under way"


# attempts


def test_a_fault_in_an_attempt_is_its_outcome_and_the_next_attempt_goes_through(
    caplog: pytest.LogCaptureFixture,
) -> None:
    saved: list[Open] = []

    class Webhooks:
        async def attempt(self, delivery: Delivery, hook: Webhook, at: datetime) -> Outcome:
            if len(saved) < 2:
                raise TypeError("'é' is no bytes")
            return Outcome(200)

    class Mailboxes:
        async def attempt(self, delivery: Delivery, address: str) -> Outcome:
            raise AssertionError("nobody is mailed")

    def save(opened: Open) -> bool:
        saved.append(opened)
        return True

    async def deliver() -> None:
        dispatcher = Dispatcher(
            Webhooks(), Mailboxes(), lambda name: webhook(name, URL), save, Policy((0.01,), 86_400), 1
        )
        dispatcher.start([Open(0, pending())])
        while len(dispatcher):
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(deliver(), 30))
    assert [opened.delivery.state for opened in saved] == [State.WAITING, State.WAITING, State.DELIVERED]
    assert "TypeError: 'é' is no bytes" in saved[0].delivery.attempts[0].error
    assert [record.exc_info is not None for record in caplog.records if "a fault" in record.msg] == [True]


# signatures


@given(st.binary(min_size=24, max_size=64), st.text("abc_0123456789", min_size=1), st.binary().map(lambda b: b.hex()))
def test_the_official_library_verifies_every_signature(key: bytes, message_id: str, content: str) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    now = AT.now(AT.tzinfo)
    body = f'{{"x": "{content}"}}'.encode()
    assert Verifier(secret).verify(body, signed_headers(secret, message_id, now, body)) == {"x": content}
    assert (
        Verifier(secret).sign(message_id, now, body.decode())
        == signed_headers(secret, message_id, now, body)["webhook-signature"]
    )


def test_the_vector_of_the_specification() -> None:
    at = AT.fromtimestamp(1614265330, AT.tzinfo)
    found = signed_headers(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}')
    assert found == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


# addresses


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "100.64.0.1",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fe80::1%eth0",
        "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::", "100::1",
        "64:ff9b:1::1", "2001:0:7f00:1::",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_a_public_address_is_known(address: str) -> None:
    assert is_public(address)


# mails


def test_the_subject_line_says_it_all() -> None:
    def subject(type: Type = Type.THRESHOLD_EXCEEDED, tenant: str = "acme", **fields: Any) -> str:
        record = crossed(type=type, tenant=tenant, **fields)
        return str(mail.message(record.id, type, AT, record.data, "a@b.example", "c@d.example")["Subject"])

    assert subject() == "acme is at 100 % of 10000 orders"
    assert subject(percent="80.50", subject="user:7") == "acme, user:7, is at 80.5 % of 10000 orders"
    assert subject(Type.THRESHOLD_RESOLVED, reason="limit_raised") == (
        "acme: 10000 orders resolved, the limit was raised"
    )
    assert subject(tenant="ev\r\nBcc: x@y.example") == "ev??Bcc: x@y.example is at 100 % of 10000 orders"
    assert "Wüste" in subject(tenant="Wüste")


def test_the_same_notification_gives_the_same_mail() -> None:
    def text(record: Notification) -> bytes:
        return mail.message(record.id, record.type, AT, record.data, "a@b.example", "c@d.example").as_bytes()

    assert text(crossed(1)) == text(crossed(1))
    assert text(crossed(1)) != text(crossed(2))


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("smtp://mail.example.com", ("mail.example.com", 587, False, None, None, None)),
        ("smtp://u:p%40%2F@mail:25", ("mail", 25, False, True, "u", "p@/")),
        ("smtp://u:p@mail:25?starttls=never", ("mail", 25, False, False, "u", "p")),
        ("smtps://u:p@mail", ("mail", 465, True, False, "u", "p")),
    ],
)
def test_the_url_of_a_mail_server_is_read(url: str, wanted: tuple[object, ...]) -> None:
    found = read_smtp_url(url)
    assert (found.host, found.port, found.tls, found.start_tls, found.user, found.password) == wanted
    assert found.password is None or f"'{found.password}'" not in repr(found)


@pytest.mark.parametrize("url", ["mail.example.com", "http://u:hunter2@x", "smtp://u:hunter2@x:y", "smtp://x?tls=1"])
def test_a_wrong_url_of_a_mail_server_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"smtp://|starttls") as caught:
        read_smtp_url(url)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValidationError):
        SmtpSettings.model_validate({"smtp_url": url})
