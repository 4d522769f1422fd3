"""Lists of runs, with values alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.billing.jobs.listing import page, read_cursor
from meterline_api.opaque import opaque
from meterline_schemas.billing.run import Job, Run, RunState

AT = datetime(2026, 11, 22, tzinfo=UTC)
runs = st.lists(
    st.builds(
        lambda job, hours, state: Run(job, AT + timedelta(hours=hours), state, "owner", AT, AT),
        st.sampled_from(Job),
        st.integers(0, 9),
        st.sampled_from(RunState),
    ),
    unique_by=lambda run: run.key,
)


@given(runs, st.integers(1, 5), st.none() | st.sampled_from(Job), st.none() | st.sampled_from(RunState))
def test_pages_are_the_whole_list_in_order(
    found: list[Run], limit: int, job: Job | None, state: RunState | None
) -> None:
    listed, cursor = page(found, job, state, limit, None)
    while cursor is not None:
        assert len(listed) % limit == 0
        more, cursor = page(found, job, state, limit, read_cursor(cursor))
        assert more
        listed += more
    wanted = [run for run in found if job in (None, run.job) and state in (None, run.state)]
    assert listed == sorted(wanted, key=lambda run: (run.due, run.job), reverse=True)


@pytest.mark.parametrize("text", ["", "x", "é", opaque("1 pull"), opaque("-1 push"), opaque("999999999999 push")])
def test_what_is_no_cursor_is_none(text: str) -> None:
    assert read_cursor(text) is None
