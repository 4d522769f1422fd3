"""Notifications reach webhooks and mailboxes: real broker, real processes, real receivers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from confluent_kafka import TopicPartition
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from meterline_schemas import topics
from meterline_schemas.delivery import State
from meterline_schemas.notification import Type
from meterline_schemas.partitioning import partition_of
from meterline_sinks.notifier import ledger
from tests.notifier.harness import PARTITIONS, SECRET, Notifiers, crossed, threshold, webhook
from tests.notifier.receiver import Answer, Call, Postbox, Receiver, mail_server
from tests.support import cluster
from tests.support.streams import wait_until

SOON = 30


@pytest.fixture
def postbox() -> Iterator[Postbox]:
    with mail_server("meter", "p@ss word") as box:
        yield box


def smtp(box: Postbox, password: str = "p%40ss%20word") -> dict[str, str]:
    return {
        "METERLINE_SMTP_URL": f"smtp://meter:{password}@127.0.0.1:{box.port}?starttls=never",
        "METERLINE_SMTP_FROM": "alerts@meterline.example",
    }


def test_a_notification_reaches_a_webhook_signed(notifiers: Notifiers, receiver: Receiver) -> None:
    told = crossed()
    notifiers.define(webhook("crm", receiver.url), threshold())
    notifiers.notify(told)
    notifiers.start()
    wait_until(lambda: bool(receiver.calls), SOON, "a call")
    (call,) = receiver.calls
    assert call.body == told.encode()
    assert call.webhook_id == told.id
    assert Verifier(SECRET).verify(call.body, call.headers) == json.loads(told.encode())
    with pytest.raises(WebhookVerificationError):
        Verifier("whsec_" + "A" * 32).verify(call.body, call.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(call.body.replace(b"acme", b"evil"), call.headers)
    wait_until(lambda: notifiers.states() == ["delivered"], SOON, "the outcome in the ledger")
    (delivery,) = notifiers.ledger().values()
    assert [(attempt.number, attempt.status, attempt.answer) for attempt in delivery.attempts] == [(1, 200, "ok")]


def test_what_was_defined_just_before_is_known_when_a_notification_is_judged(
    notifiers: Notifiers, receiver: Receiver, other: Receiver
) -> None:
    notifiers.define(webhook("first", receiver.url))
    notifiers.start()
    notifiers.wait_ready()
    for number in range(5):
        late = threshold(f"late-{number}", notify_webhooks=(f"hook-{number}",))
        notifiers.define(webhook(f"hook-{number}", other.url), late)
        notifiers.notify(crossed(number, threshold_id=late.id))
    wait_until(lambda: len(other.ids()) == 5, SOON, "all five")
    assert {target for _id, target in notifiers.ledger()} == {f"webhook/hook-{number}" for number in range(5)}
    assert not receiver.calls


def test_a_receiver_that_hangs_delays_nobody_else(notifiers: Notifiers, receiver: Receiver, other: Receiver) -> None:
    receiver.answer = lambda _call: None
    notifiers.define(webhook("hangs", receiver.url), webhook("well", other.url))
    notifiers.start(METERLINE_NOTIFY_TIMEOUT="300")  # it hangs for as long as this test lasts
    told = [crossed(number, f"tenant-{number}") for number in range(20)]
    notifiers.notify(*told)
    wait_until(lambda: other.ids() == {each.id for each in told}, SOON, "all of them at the one that is well")
    wait_until(lambda: len(receiver.calls) >= 4, SOON, "as many as may be under way at one target")
    assert len(receiver.calls) == 4
    assert notifiers.terminate() == 0


def test_an_attempt_that_fails_is_repeated_until_it_is_taken(notifiers: Notifiers, receiver: Receiver) -> None:
    def third_time(_call: Call) -> Answer:
        return (200, {}, b"") if len(receiver.calls) == 3 else (503, {}, b"x" * 5000)

    receiver.answer = third_time
    notifiers.define(webhook("crm", receiver.url))
    notifiers.notify(crossed())
    notifiers.start(METERLINE_NOTIFY_RETRY_DELAYS="[0.1, 0.2]")
    wait_until(lambda: notifiers.states() == ["delivered"], SOON, "delivered")
    (delivery,) = notifiers.ledger().values()
    assert [attempt.status for attempt in delivery.attempts] == [503, 503, 200]
    assert delivery.attempts[0].answer == "x" * 1024
    assert delivery.attempts[0].error == "answered 503"
    assert len(receiver.ids()) == 1, "the id stays the same"
    assert all(Verifier(SECRET).verify(call.body, call.headers) for call in receiver.calls)


def test_it_is_given_up_in_the_end(notifiers: Notifiers, receiver: Receiver) -> None:
    receiver.answer = lambda _call: (500, {}, b"")
    notifiers.define(webhook("crm", receiver.url))
    notifiers.notify(crossed())
    notifiers.start(METERLINE_NOTIFY_RETRY_DELAYS="[0.1, 0.3]", METERLINE_NOTIFY_GIVE_UP_AFTER="1.5")
    wait_until(lambda: notifiers.states() == ["failed"], SOON, "given up")
    (delivery,) = notifiers.ledger().values()
    assert len(delivery.attempts) == len(receiver.calls) >= 2
    assert "given up after" in delivery.attempts[-1].error


@pytest.mark.parametrize(
    ("answer", "state", "error"),
    [
        ((410, {}, b""), State.FAILED, "410 Gone"),
        ((302, {"location": "/elsewhere"}, b""), State.WAITING, "redirects are not followed"),
    ],
)
def test_gone_is_final_and_redirects_are_not_followed(
    notifiers: Notifiers, receiver: Receiver, answer: Answer, state: State, error: str
) -> None:
    receiver.answer = lambda _call: answer
    notifiers.define(webhook("crm", receiver.url))
    notifiers.notify(crossed())
    notifiers.start()
    wait_until(lambda: notifiers.states() == [state.value], SOON, state.value)
    (delivery,) = notifiers.ledger().values()
    assert error in delivery.attempts[0].error
    assert [call.path for call in receiver.calls] == ["/hook"]


def test_a_private_address_is_refused_with_a_clear_sentence(notifiers: Notifiers, receiver: Receiver) -> None:
    notifiers.define(
        webhook("ip", receiver.url),
        webhook("name", f"http://localhost:{receiver.port}/"),
        webhook("mapped", f"http://[::ffff:127.0.0.1]:{receiver.port}/"),
        webhook("number", f"http://2130706433:{receiver.port}/"),
    )
    notifiers.notify(crossed())
    notifiers.start(METERLINE_NOTIFY_ALLOW_PRIVATE="false")
    wait_until(lambda: notifiers.states() == ["waiting"] * 4, SOON, "four refusals")
    for delivery in notifiers.ledger().values():
        assert "is no public address" in delivery.attempts[0].error
        assert "METERLINE_NOTIFY_ALLOW_PRIVATE=true" in delivery.attempts[0].error
    assert not receiver.calls


def test_an_e_mail_reaches_the_mailboxes_of_the_threshold(notifiers: Notifiers, postbox: Postbox) -> None:
    told = crossed(usage="10301.5", percent="103.01")
    notifiers.define(threshold(notify_emails=("ops@example.com", "cfo@example.com")))
    notifiers.notify(told, crossed(type=Type.METRIC_DEFINED))
    notifiers.start(**smtp(postbox))
    wait_until(lambda: notifiers.states() == ["delivered"] * 2, SOON, "two mails")
    assert {mail["To"] for mail in postbox.mails} == {"ops@example.com", "cfo@example.com"}
    mail = postbox.mails[0]
    assert mail["Subject"] == "acme is at 103.01 % of 10000 orders"
    assert mail["From"] == "alerts@meterline.example"
    assert mail["Message-ID"] == f"<{told.id}@meterline.example>"
    assert "Usage:          10301.5 of 10000 (103.01 %)" in mail.get_content()


def test_an_address_that_the_server_refuses_fails_and_the_other_gets_its_mail(
    notifiers: Notifiers, postbox: Postbox
) -> None:
    postbox.refuse = lambda address: "550 no such user" if address.startswith("gone") else None
    notifiers.define(threshold(notify_emails=("gone@example.com", "ops@example.com")))
    notifiers.notify(crossed())
    notifiers.start(**smtp(postbox))
    wait_until(lambda: sorted(notifiers.states()) == ["delivered", "failed"], SOON, "one of each")
    (failed,) = (each for each in notifiers.ledger().values() if each.state is State.FAILED)
    assert failed.target == "email/gone@example.com"
    assert (failed.attempts[0].status, "no such user" in failed.attempts[0].error) == (550, True)


def test_a_wrong_password_is_an_outcome_and_stands_in_no_log(notifiers: Notifiers, postbox: Postbox) -> None:
    notifiers.define(threshold(notify_emails=("ops@example.com",)))
    notifiers.notify(crossed())
    notifiers.start(**smtp(postbox, password="hunter2"))
    wait_until(lambda: notifiers.states() == ["waiting"], SOON, "refused")
    (delivery,) = notifiers.ledger().values()
    assert delivery.attempts[0].status == 535
    assert "METERLINE_SMTP_URL" in delivery.attempts[0].error
    assert not postbox.mails
    assert "hunter2" not in notifiers.log().read_text() + delivery.attempts[0].error


def test_a_mail_server_that_hangs_is_an_outcome(notifiers: Notifiers) -> None:
    notifiers.define(threshold(notify_emails=("ops@example.com",)))
    notifiers.notify(crossed())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        notifiers.start(
            METERLINE_SMTP_URL=f"smtp://127.0.0.1:{silent.getsockname()[1]}", METERLINE_NOTIFY_TIMEOUT="0.5"
        )
        wait_until(lambda: notifiers.states() == ["waiting"], SOON, "an attempt")
    (delivery,) = notifiers.ledger().values()
    assert "not answered within 0.5 s" in delivery.attempts[0].error


def test_an_answer_counts_though_its_body_never_ends(notifiers: Notifiers, receiver: Receiver) -> None:
    receiver.answer = lambda _call: (200, {}, b"beginning")
    receiver.missing = 100  # bytes that are promised and do not come
    notifiers.define(webhook("crm", receiver.url))
    notifiers.notify(crossed())
    notifiers.start()
    wait_until(lambda: notifiers.states() == ["delivered"], SOON, "delivered")
    (delivery,) = notifiers.ledger().values()
    assert (delivery.attempts[0].answer, len(receiver.calls)) == ("beginning", 1)


def test_without_a_mail_server_that_is_said_once(notifiers: Notifiers) -> None:
    notifiers.define(threshold(notify_emails=("ops@example.com",)))
    notifiers.notify(crossed())
    notifiers.start()
    wait_until(lambda: notifiers.states() == ["failed"], SOON, "failed")
    (delivery,) = notifiers.ledger().values()
    (attempt,) = delivery.attempts
    assert attempt.error == "no SMTP server is configured; set METERLINE_SMTP_URL"


def test_a_repeat_of_a_notification_is_not_told_again(notifiers: Notifiers, receiver: Receiver) -> None:
    notifiers.define(webhook("crm", receiver.url))
    notifiers.notify(crossed(1), crossed(1))
    notifiers.start()
    wait_until(lambda: notifiers.states() == ["delivered"], SOON, "delivered")
    notifiers.define(webhook("new", receiver.url))  # the first judgement stands, for new receivers too
    notifiers.notify(crossed(1), crossed(2))
    wait_until(lambda: notifiers.states() == ["delivered"] * 3, SOON, "the second to both")
    assert notifiers.terminate() == 0
    notifiers.start()
    notifiers.notify(crossed(1), crossed(2), crossed(3))
    wait_until(lambda: notifiers.states() == ["delivered"] * 5, SOON, "the third to both")
    assert len(receiver.calls) == 5


def test_a_delivery_is_resent_on_request(notifiers: Notifiers, receiver: Receiver, other: Receiver) -> None:
    told = crossed()
    receiver.answer = lambda _call: (410, {}, b"")
    notifiers.define(webhook("crm", receiver.url), webhook("erp", other.url))
    notifiers.notify(told)
    notifiers.start()
    wait_until(lambda: sorted(notifiers.states()) == ["delivered", "failed"], SOON, "one of each")
    receiver.answer = lambda _call: (204, {}, b"")
    ledger.resend(notifiers.kafka, told.tenant_id, told.id, "webhook/crm")
    wait_until(lambda: notifiers.states() == ["delivered"] * 2, SOON, "delivered after all")
    assert [call.webhook_id for call in receiver.calls] == [told.id] * 2
    assert [attempt.status for attempt in notifiers.ledger()[told.id, "webhook/crm"].attempts] == [410, 204]
    assert len(other.calls) == 1

    notifiers.terminate()  # a request is not forgotten while nobody runs, and it is carried out once
    ledger.resend(notifiers.kafka, told.tenant_id, told.id)
    notifiers.start()
    wait_until(lambda: (len(receiver.calls), len(other.calls)) == (3, 2), SOON, "all of them again")
    wait_until(lambda: len(notifiers.ledger()[told.id, "webhook/erp"].attempts) == 2, SOON, "written down")
    wait_until(lambda: len(notifiers.ledger()[told.id, "webhook/crm"].attempts) == 3, SOON, "written down")
    notifiers.terminate()
    notifiers.start()
    notifiers.notify(crossed(2))
    wait_until(lambda: len(other.ids()) == 2, SOON, "something that came later")
    assert (len(receiver.calls), len(other.calls)) == (4, 3)


def test_a_record_that_is_no_notification_is_named_and_passed_over(notifiers: Notifiers, receiver: Receiver) -> None:
    notifiers.define(webhook("crm", receiver.url))
    for partition in range(3):
        notifiers.write(topics.NOTIFICATIONS, partition, b'{"id": 7}')
    told = [crossed(number, f"tenant-{number}") for number in range(6)]
    notifiers.notify(*told)
    notifiers.start()
    wait_until(lambda: receiver.ids() == {each.id for each in told}, SOON, "those that are")
    assert notifiers.log().read_text().count("is no notification") == 3


def test_health_says_ready_and_the_group_has_no_lag(notifiers: Notifiers, receiver: Receiver) -> None:
    notifiers.define(webhook("crm", receiver.url))
    notifiers.start()
    notifiers.notify(crossed())
    notifiers.wait_ready()
    assert notifiers.health() | {"open": 0} == {
        "live": True, "ready": True, "progressing": True, "partitions": 3, "open": 0,
    }  # fmt: skip
    wait_until(lambda: notifiers.states() == ["delivered"], SOON, "delivered")
    assert len(list(cluster.read_all(notifiers.bootstrap, notifiers.prefix + topics.DELIVERIES))) == 2
    assert notifiers.terminate() == 0


def test_what_the_ledger_no_longer_has_is_not_fetched_and_holds_up_nobody(
    notifiers: Notifiers, receiver: Receiver
) -> None:
    notifiers.define(webhook("crm", receiver.url))
    notifiers.notify(crossed())
    notifiers.start()
    wait_until(lambda: notifiers.states() == ["delivered"], SOON, "delivered")
    old, young = crossed(1), crossed(2)
    partition = partition_of(old.tenant_id, PARTITIONS)
    topic = notifiers.prefix + topics.DELIVERIES
    end = cluster.ends(notifiers.bootstrap, topic)[partition]
    for done in cluster.admin(notifiers.bootstrap).delete_records([TopicPartition(topic, partition, end)]).values():
        done.result(30)
    notifiers.notify(young)
    wait_until(lambda: len(receiver.calls) == 2, SOON, "the second one")
    reader = ledger.LedgerReader(notifiers.kafka)
    start = reader.starts([partition])[partition]
    assert start > 0
    assert reader.fetch(partition, 0) is None
    reader.close()
    for told in (old, young):
        ledger.resend(notifiers.kafka, "acme", told.id)
    wait_until(lambda: [call.webhook_id for call in receiver.calls].count(young.id) == 2, SOON, "the second one again")
    assert [call.webhook_id for call in receiver.calls].count(old.id) == 1
