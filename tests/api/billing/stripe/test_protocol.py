"""The pusher is killed at every step, run twice at once, and answered badly: Stripe ends with the usage of each day."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from datetime import timedelta
from itertools import pairwise

import pytest
from pydantic import SecretStr

from meterline_api.billing.stripe.plan import Trouble
from meterline_schemas.billing.push import PushState
from meterline_schemas.catalog import Billing, Tenant
from tests.api.billing.stripe.company import Company

STEPS = ("before_intent", "after_intent", "after_call", "before_outcome")


def _revisions_are_without_gap(company: Company) -> None:
    """And each identifier has one value in the ledger too; compaction is not that quick."""
    values = defaultdict(set)
    states = defaultdict(list)
    for push in company.records():
        values[push.identifier].add(push.value)
        states[push.key].append((push.revision, push.state))
    assert all(len(each) == 1 for each in values.values())
    for key, found in states.items():
        revisions = [revision for revision, _state in found]
        assert revisions == sorted(revisions), key
        assert set(revisions) == set(range(1, revisions[-1] + 1)), key
        for (revision, state), (following, _) in pairwise(found):
            assert following == revision or state is not PushState.INTENT, f"{key!r}: two intents follow each other"


def test_a_pusher_killed_at_every_step_leaves_every_day_right(company: Company) -> None:
    company.use(days=2)
    for number, step in enumerate(STEPS):
        company.use(days=2, value=1000 * number)  # usage came late: every day has another total
        company.finish(company.start(crash=f"{step}:{2 if step != 'after_call' else 5}"), killed=True)
    told = company.run()
    assert told["open"] == 0
    company.check()
    _revisions_are_without_gap(company)
    again = company.run()
    assert (again["delivered"], again["settled"]) == (0, 0), "nothing is due any more"


def test_two_pushers_at_once_under_faults_and_late_usage(company: Company) -> None:
    chances = {"before": 0.08, "after": 0.08, "drop_before": 0.05, "drop": 0.05, "429": 0.1, "duplicate": 0.05}
    company.stripe.control("faults/random", seed=7, path="/v1/billing/meter_events", chances=chances)
    for number in range(2):
        company.use(days=2, value=1000 * number)
        both = [company.start(), company.start(crash="after_call:3" if number else "")]
        company.finish(both[0])
        company.finish(both[1], killed=None if number else False)  # the first may have left it too little to die at
    company.stripe.clear_faults()
    company.run("retry")
    company.run()
    company.check()
    _revisions_are_without_gap(company)


def test_what_got_no_answer_is_settled_before_anything_newer(company: Company) -> None:
    company.use(days=1)
    fault = {"kind": "timeout_after", "path": "/v1/billing/meter_events", "seconds": 5}
    company.stripe.control("faults", **fault, times=None)
    site = company.site(timeout=0.2, attempts=1)
    told = asyncio.run(site.pusher.push(company.totals(), company.terms))
    assert (told.open, told.delivered) == (6, 0)
    company.use(days=1, value=50)
    company.stripe.clear_faults()
    told = asyncio.run(company.site().pusher.push(company.totals(), company.terms))
    assert (told.settled, told.open, told.delivered) == (6, 0, 12)
    company.check()
    _revisions_are_without_gap(company)


def test_one_bad_tenant_stops_no_other_and_is_told_in_stripes_words(company: Company) -> None:
    company.use(days=2)
    good = [entry for entry in company.entries if not isinstance(entry, Tenant)]
    first, *others = [entry for entry in company.entries if isinstance(entry, Tenant)]
    right, wrong = first, Tenant(id=first.id, billing=Billing.METER, stripe_customer="cus_nobody")
    company.entries = [*good, wrong, *others]
    site = company.site()
    told = asyncio.run(site.pusher.push(company.totals(), company.terms))
    assert (told.refused, told.delivered, told.open) == (4, 8, 0)
    assert {problem.tenant_id for problem in told.problems} == {first.id}
    assert all("No such customer: 'cus_nobody'" in problem.detail for problem in told.problems)
    again = asyncio.run(site.pusher.retry(company.terms))
    assert again.refused == 4, "once more, as the next revision"
    company.entries = [*good, right, *others]
    told = asyncio.run(site.pusher.push(company.totals(), company.terms))
    assert (told.refused, told.delivered) == (0, 4)
    company.check()


def test_a_key_that_is_not_let_in_stops_the_run_and_leaves_its_intents(company: Company) -> None:
    company.use(days=1)
    site = company.site(key=SecretStr("sk_live_wrong"))
    told = asyncio.run(site.pusher.push(company.totals(), company.terms))
    assert told.stopped is not None
    assert "Invalid API Key" in told.stopped
    assert (told.delivered, told.refused) == (0, 0)
    asyncio.run(company.site().pusher.push(company.totals(), company.terms))
    company.check()


def test_a_500_that_stripe_keeps_under_its_key_does_not_hold_the_day_up(company: Company) -> None:
    company.use(days=1)
    for kind in ("before", "after"):
        company.stripe.control("faults", kind=kind, path="/v1/billing/meter_events", times=2, saved=True)
    told = asyncio.run(company.site().pusher.push(company.totals(), company.terms))
    assert (told.delivered, told.open) == (6, 0)
    company.check()


def test_nothing_is_sent_on_a_ledger_that_was_read_too_long_ago(company: Company) -> None:
    company.use(days=1)
    site = company.site(stale_after=timedelta(microseconds=1), attempts=1)
    told = asyncio.run(site.pusher.push(company.totals(), company.terms))
    assert (told.delivered, told.open) == (0, 6)
    assert company.days() == {}
    company.run("retry")
    company.check()


def test_a_dry_run_counts_and_writes_nothing(company: Company) -> None:
    company.use(days=1)
    told = asyncio.run(company.site().pusher.push(company.totals(), company.terms, dry_run=True))
    assert told.due == {"new": 6, "changed": 0, "again": 0}
    assert company.records() == []
    assert company.days() == {}


def test_calls_are_bounded_and_one_at_a_time_for_a_customer_and_meter(company: Company) -> None:
    company.stripe.control("settings", event_seconds=0.03)
    company.use(days=4)
    before = len(company.stripe.requests())
    told = asyncio.run(company.site(rate=100, in_flight=16).pusher.push(company.totals(), company.terms))
    company.stripe.control("settings", event_seconds=0.002)
    calls = [each for each in company.stripe.requests()[before:] if "meter_events" in str(each)]
    assert told.delivered == 24
    assert len(calls) == 24, "none was answered 429 and tried again"
    company.check()


def test_days_that_stripe_takes_no_more_are_named_and_never_moved(company: Company) -> None:
    company.use(days=40)
    company.used = {key: value for key, value in company.used.items() if key[0] == "tenant-0" and key[1] == "calls"}
    told = asyncio.run(company.site(batch=50).pusher.push(company.totals(), company.terms))
    assert told.troubles[Trouble.TOO_OLD] >= 5
    assert told.troubles[Trouble.NEARLY_TOO_OLD] >= 3
    old = {problem.day for problem in told.problems if problem.trouble is Trouble.TOO_OLD}
    assert company.days() == {key: value for key, value in company.expected().items() if key[2] not in old}


@pytest.mark.long
def test_a_month_of_days_with_kills_faults_late_usage_and_two_replicas(company: Company) -> None:
    random_ = random.Random(11)
    chances = {"before": 0.03, "after": 0.03, "drop_before": 0.02, "drop": 0.02, "429": 0.05, "duplicate": 0.02}
    company.stripe.control("faults/random", seed=11, path="/v1/billing/meter_events", chances=chances)
    company.use(days=30)
    whole, company.used = company.used, {}
    for day in sorted({key[2] for key in whole}):
        company.used |= {key: value for key, value in whole.items() if key[2] == day}
        for key in random_.sample(sorted(company.used), 3):
            company.used[key] += random_.randint(1, 9)  # late
        step = f"{random_.choice(STEPS)}:{random_.randint(1, 3)}"
        both = [company.start(crash=step), company.start()]
        company.finish(both[0], killed=None)
        company.finish(both[1])
    company.stripe.clear_faults()
    company.run("retry")
    company.run()
    company.check()
    _revisions_are_without_gap(company)
