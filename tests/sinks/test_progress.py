"""When the sink counts as stuck."""

from __future__ import annotations

from meterline_schemas.topics import ACCEPTED
from meterline_sinks.progress import ProgressCheck

P0 = (ACCEPTED, 0)
P1 = (ACCEPTED, 1)


def test_standing_still_with_more_to_read_is_stuck_after_the_limit() -> None:
    check = ProgressCheck(60, now=0)
    for now in range(0, 61, 10):
        check.observe(now, {P0: 5}, {P0: 9})
        assert check.stuck(now) is None
    check.observe(61, {P0: 5}, {P0: 9})
    assert check.stuck(61) == "usage.accepted[0] has stood at offset 5 for 61 s but ends at 9"


def test_standing_still_with_nothing_to_read_is_well() -> None:
    check = ProgressCheck(60, now=0)
    for now in range(0, 500, 10):
        check.observe(now, {P0: 9, P1: 0}, {P0: 9, P1: 0})
        assert check.stuck(now) is None


def test_time_counts_from_when_there_is_more_to_read() -> None:
    check = ProgressCheck(60, now=0)
    check.observe(0, {P0: 9}, {P0: 9})
    check.observe(100, {P0: 9}, {P0: 10})
    check.observe(150, {P0: 9}, {P0: 11})
    assert check.stuck(150) is None
    check.observe(161, {P0: 9}, {P0: 11})
    assert check.stuck(161)


def test_slow_is_not_stuck() -> None:
    check = ProgressCheck(60, now=0)
    for now in range(0, 1000, 50):
        check.observe(now, {P0: now}, {P0: 10_000})
        assert check.stuck(now) is None


def test_one_partition_that_stands_still_is_enough() -> None:
    check = ProgressCheck(60, now=0)
    for now in range(0, 100, 20):
        check.observe(now, {P0: now, P1: 3}, {P0: 10_000, P1: 4})
    problem = check.stuck(80)
    assert problem is not None
    assert "usage.accepted[1]" in problem


def test_a_partition_that_ends_before_what_was_committed_is_stuck() -> None:
    check = ProgressCheck(60, now=0)
    check.observe(0, {P0: 9}, {P0: 4})
    check.observe(61, {P0: 9}, {P0: 4})
    assert check.stuck(61) == "usage.accepted[0] has stood at offset 9 for 61 s but ends at 4"


def test_a_partition_that_was_given_away_is_forgotten() -> None:
    check = ProgressCheck(60, now=0)
    check.observe(0, {P0: 3}, {P0: 4})
    check.observe(50, {}, {})
    check.observe(61, {P0: 3}, {P0: 4})
    assert check.stuck(61) is None


def test_not_knowing_the_ends_is_stuck_too() -> None:
    check = ProgressCheck(60, now=0)
    assert check.stuck(60) is None
    problem = check.stuck(61)
    assert problem is not None
    assert "could not be read" in problem
    check.observe(62, {}, {})
    assert check.stuck(62) is None


def test_a_process_that_the_group_deals_nothing_is_stuck_after_the_limit_and_well_when_it_does() -> None:
    check = ProgressCheck(60, now=0)
    check.observe(0, {P0: 3}, {P0: 4})
    for now in range(10, 71, 10):
        check.observe(now, {}, {}, assigned=False)
        assert check.stuck(now) is None
    check.observe(71, {}, {}, assigned=False)
    assert check.stuck(71) == (
        "the consumer group has dealt this process no partitions for 61 s: is Kafka running, and may it join the group?"
    )
    check.observe(72, {}, {}, assigned=True)
    assert check.stuck(72) is None, "there are more processes than partitions"
