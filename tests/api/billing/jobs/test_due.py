"""Which instant is due, with values alone: held against a loop over every minute."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterline_api.billing.jobs.due import LOOK_BACK, Patience, due, is_lost, latest, to_do
from meterline_api.billing.jobs.settings import JobSettings
from meterline_api.storage.cron import trigger
from meterline_schemas.billing.run import Job, Run, RunState
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.settings import load

NOW = datetime(2026, 11, 22, 10, 30, 15, tzinfo=UTC)
TEN, NINE = NOW.replace(minute=0, second=0), NOW.replace(hour=9, minute=0, second=0)
HOURLY = trigger("0 * * * *")
PATIENCE = Patience(timedelta(minutes=1), timedelta(minutes=10))
MINUTE = timedelta(minutes=1)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Times = tuple[frozenset[int], frozenset[int], frozenset[int]]  # minutes, hours, days of the week

times = st.tuples(
    st.frozensets(st.integers(0, 59), min_size=1, max_size=4),
    st.frozensets(st.integers(0, 23), min_size=1),
    st.frozensets(st.integers(0, 6), min_size=1),
)
instants = st.timedeltas(timedelta(0), timedelta(days=1000)).map(lambda since: NOW + since)


def written(found: Times) -> str:
    minutes, hours, days = (sorted(each) for each in found)
    return f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * {','.join(DAYS[day] for day in days)}"


def by_minutes(found: Times, now: datetime) -> datetime:
    """The last instant of a schedule, found by going back minute by minute."""
    minutes, hours, days = found
    at = now.replace(second=0, microsecond=0)
    while not (at.minute in minutes and at.hour in hours and at.weekday() in days):
        at -= MINUTE
    return at


def run(due: datetime, state: RunState, ago: timedelta = timedelta(0)) -> Run:
    """A run that was last heard of ``ago`` before now."""
    ended = None if state is RunState.RUNNING else NOW - ago
    return Run(Job.PUSH, due, state, "owner", due, NOW - ago, ended)


def runs(*found: Run) -> dict[datetime, Run]:
    return {each.due: each for each in found}


@settings(deadline=None)
@given(times, instants)
def test_the_last_instant_is_that_of_a_loop_over_every_minute(found: Times, now: datetime) -> None:
    assert latest(trigger(written(found)), now) == by_minutes(found, now)


@settings(deadline=None)
@given(times, instants, st.lists(st.timedeltas(timedelta(seconds=1), timedelta(days=5)), min_size=1, max_size=5))
def test_whenever_one_looks_the_last_instant_gets_done_and_none_twice(
    found: Times, start: datetime, pauses: list[timedelta]
) -> None:
    fires, done = trigger(written(found)), list[datetime]()
    now = start
    for pause in pauses:
        now += pause
        instant = due(fires, now, done[-1] if done else None)
        done += [] if instant is None else [instant]
        assert done[-1] == by_minutes(found, now)
        assert due(fires, now, done[-1]) is None
    assert all(before < after for before, after in itertools.pairwise(done))


def test_a_schedule_that_comes_once_in_four_years_is_due_for_as_long_as_runs_are_kept() -> None:
    leap = trigger("0 3 29 feb *")
    day = datetime(2028, 2, 29, 3, tzinfo=UTC)
    assert latest(leap, day - timedelta(seconds=1)) is None
    assert latest(leap, day) == day
    assert latest(leap, day + LOOK_BACK) == day
    assert latest(leap, day + LOOK_BACK + MINUTE) is None


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((), TEN),
        ((run(NINE, RunState.DONE),), TEN),
        ((run(TEN, RunState.DONE),), None),
        ((run(NOW.replace(minute=15), RunState.DONE),), None),  # asked for since: it was for a later instant
        ((run(TEN, RunState.RUNNING),), None),
        ((run(NINE, RunState.RUNNING),), None),  # one run of a job at a time
        ((run(TEN, RunState.RUNNING, timedelta(seconds=59)),), None),
        ((run(TEN, RunState.RUNNING, MINUTE),), TEN),  # its process ended
        ((run(NINE, RunState.RUNNING, MINUTE),), TEN),  # made up for by the later one
        ((run(NINE, RunState.RUNNING, MINUTE), run(TEN, RunState.DONE)), NINE),  # asked for, for the past
        ((run(NINE, RunState.LOST), run(TEN, RunState.DONE)), None),
        ((run(TEN, RunState.LOST),), TEN),
        ((run(TEN, RunState.FAILED, timedelta(minutes=9)),), None),
        ((run(TEN, RunState.FAILED, timedelta(minutes=10)),), TEN),
        ((run(NINE, RunState.FAILED), run(TEN, RunState.DONE)), None),
        ((run(NINE, RunState.FAILED),), TEN),
    ],
)
def test_what_is_to_be_done_follows_from_the_runs_that_there_are(
    found: tuple[Run, ...], expected: datetime | None
) -> None:
    assert to_do(HOURLY, runs(*found), NOW, PATIENCE) == expected


def test_without_a_schedule_only_what_was_lost_is_done() -> None:
    assert to_do(None, {}, NOW, PATIENCE) is None
    assert to_do(None, runs(run(NINE, RunState.FAILED, timedelta(hours=1))), NOW, PATIENCE) is None
    assert to_do(None, runs(run(NINE, RunState.RUNNING, MINUTE)), NOW, PATIENCE) == NINE


def test_a_run_is_lost_once_its_owner_is_silent() -> None:
    assert not is_lost(run(TEN, RunState.RUNNING, timedelta(seconds=59)), NOW, PATIENCE)
    assert is_lost(run(TEN, RunState.RUNNING, timedelta(seconds=60)), NOW, PATIENCE)
    assert not is_lost(run(TEN, RunState.DONE, timedelta(days=1)), NOW, PATIENCE)


@pytest.mark.parametrize(
    ("job", "at"),
    [
        (Job.CHECK_AGGREGATION, NOW.replace(minute=10, second=0)),
        (Job.PUSH, NOW.replace(hour=1, minute=0, second=0)),
        (Job.RETRY, NOW.replace(hour=6, minute=0, second=0)),
        (Job.CLOSE, NOW.replace(minute=30, second=0)),
        (Job.RECONCILE, NOW.replace(hour=2, minute=30, second=0)),
    ],
)
def test_every_job_has_a_schedule_by_default(job: Job, at: datetime) -> None:
    fires = JobSettings().fires(job)
    assert fires is not None
    assert latest(fires, NOW) == at


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PUSH_SCHEDULE", "1 AM", "like `0 3 * * *`"),
        ("CLOSE_SCHEDULE", "0 3 30 2 *", "no such day"),
        ("RETRY_SCHEDULE", "0 3 * * 0", "as names"),
        ("LOST_AFTER", "PT1S", "2 seconds"),
        ("TRY_AGAIN_AFTER", "soon", "duration"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"METERLINE_BILLING_{name}", value)
    with pytest.raises(ConfigurationError, match=f"METERLINE_BILLING_{name}.*{re.escape(said)}"):
        load(JobSettings)


def test_an_empty_schedule_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERLINE_BILLING_PUSH_SCHEDULE", "")
    assert load(JobSettings).fires(Job.PUSH) is None
