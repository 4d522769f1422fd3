"""The month of the demo, whenever it is run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from examples.demo.billing import Stripe
from examples.demo.month import Month
from meterline_api.billing.stripe.plan import nearly_too_old
from meterline_schemas.settings import JudgeSettings

LONGEST = timedelta(minutes=5)  # that it may take


@settings(max_examples=25)
@given(
    st.integers(0, 5 * 366 * 24 * 3600).map(
        lambda seconds: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    )
)
@example(datetime(2026, 11, 22, 12, 0, 1, tzinfo=UTC))
@example(datetime(2026, 8, 31, 23, 59, 59, tzinfo=UTC))
@example(datetime(2028, 3, 1, tzinfo=UTC))
def test_nothing_of_it_is_too_old_at_any_time_of_any_day(now: datetime) -> None:
    month = Month(now)
    past = JudgeSettings.model_validate({"accept_past": Stripe().environment()["METERLINE_ACCEPT_PAST"]}).accept_past
    assert all(now + LONGEST - past < used.at <= now for used in month.used)
    assert not any(nearly_too_old(day, now + LONGEST) for day in month.days), "a push would tell of it, and fail"
