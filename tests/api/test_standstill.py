"""A group stands still when offsets do not move although records wait."""

from __future__ import annotations

from meterline_api.standstill import Partition, Standstill, lag

P, Q = Partition("usage.events", 0), Partition("usage.events", 1)


def test_a_group_that_has_nothing_to_do_never_stands_still() -> None:
    watch = Standstill(10)
    for now in (0.0, 100.0, 200.0):
        watch.observe(now, {P: 5}, {P: 5, Q: 0})
        assert watch.stuck(now) == []


def test_a_group_that_moves_never_stands_still_however_far_behind() -> None:
    watch = Standstill(10)
    for now in range(100):
        watch.observe(float(now), {P: now}, {P: 1_000_000})
        assert watch.stuck(float(now)) == []


def test_one_partition_that_does_not_move_is_enough() -> None:
    watch = Standstill(10)
    watch.observe(0, {P: 5, Q: 5}, {P: 9, Q: 9})
    watch.observe(10, {P: 5, Q: 6}, {P: 9, Q: 9})
    assert watch.stuck(10) == [P]
    assert watch.stuck(9.9) == []


def test_a_group_that_never_committed_stands_still_too() -> None:
    watch = Standstill(10)
    watch.observe(0, {}, {P: 9})
    watch.observe(10, {}, {P: 9})
    assert watch.stuck(10) == [P]


def test_moving_again_ends_it() -> None:
    watch = Standstill(10)
    watch.observe(0, {P: 5}, {P: 9})
    watch.observe(20, {P: 6}, {P: 9})
    assert watch.stuck(20) == []
    watch.observe(40, {P: 9}, {P: 9})
    assert watch.stuck(100) == []


def test_lag_is_the_sum_over_partitions_and_never_negative() -> None:
    assert lag({P: 3, Q: 9}, {P: 5, Q: 8}) == 2
    assert lag({}, {P: 5}) == 5
