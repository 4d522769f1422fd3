"""The harness's own arithmetic: figures are only as good as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import report
from tests.benchmarks.measure import MB, percentile
from tests.benchmarks.parts.freshness import delays
from tests.benchmarks.parts.memory import Point, fit
from tests.benchmarks.parts.peers import compare
from tests.benchmarks.processes.events import Call, calls, expected
from tests.benchmarks.results import CheckFailedError, Figure, Result, Store, load, save
from tests.benchmarks.workload import Workload, in_batches, one_by_one, totals, without_repeats


def test_a_workload_is_the_same_each_time_and_repeats_its_share_of_ids() -> None:
    workload = Workload(5_000)
    lines = [made.line for made in workload]
    assert lines == [made.line for made in workload]
    assert 0.03 < 1 - len(list(without_repeats(lines))) / len(lines) < 0.07


def test_batches_and_single_records_hold_the_same_events_on_the_same_partitions() -> None:
    workload = Workload(3_000)
    batches = sorted((m.partition, line) for m in in_batches(workload, 4) for line in m.value.split(b"\n"))
    assert batches == sorted((m.partition, m.value) for m in one_by_one(workload, 4))


def test_a_peer_that_lost_one_event_is_found_out() -> None:
    workload = Workload(1_000)
    lines = [made.line for made in workload]
    compare(totals(lines), workload)
    with pytest.raises(CheckFailedError, match="1 of"):
        compare(totals(lines[1:]), workload)


def test_repeated_calls_are_expected_once() -> None:
    made = calls(2_000, 0.1)
    repeated = [call for call in made if call.repeats >= 0]
    assert repeated
    assert all(made[call.repeats].tenant == call.tenant for call in repeated)
    assert sum(count for count, _sum in expected(made).values()) == len(made) - len(repeated)


def test_percentiles_are_of_the_nearest_rank() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, percent) for percent in (50, 99, 100)] == [50, 99, 100]
    assert percentile([7.0], 99) == 7


def test_every_event_waits_until_the_first_look_that_counts_it() -> None:
    made = [Call("a", "m", "1", -1)] * 3
    looks = [(1.0, {0: 0}), (2.0, {0: 2}), (2.5, {0: 2}), (4.0, {0: 3})]
    assert delays(made, [(0.5, 1), (1.5, 3)], looks, partitions=1) == [1.5, 0.5, 2.5]


def test_memory_is_told_apart_by_what_takes_it() -> None:
    sizes = ((1_000, 100), (1_000_000, 100_000), (5_000_000, 10_000), (5_000_000, 100_000))
    points = [Point(ids, cells, 0, 0, 0, 0, 0) for ids, cells in sizes]
    base, per_id, per_cell = fit(points, [100 + 40 * ids / MB + 600 * cells / MB for ids, cells in sizes])
    assert (base, per_id * MB, per_cell * MB) == pytest.approx((100, 40, 600))


def test_a_coefficient_is_never_below_nothing() -> None:
    points = [Point(ids, cells, 0, 0, 0, 0, 0) for ids, cells in ((1, 1), (100, 10), (500, 1), (500, 10))]
    assert (fit(points, [10, 12, 20, 18]) >= 0).all()


def test_the_page_shows_targets_met_and_missed_and_parts_of_two_runs() -> None:
    store = Store()
    store.results["stream"] = Result(
        part="stream", figures=[Figure("rate", "r", 90_000), Figure("cpu", "c", 5)], run="a"
    )
    store.results["faust"] = Result(part="faust", figures=[Figure("rate", "r", 4_500)], run="a")
    store.results["quix"] = Result(part="quix", figures=[Figure("rate", "r", 10_000)], run="b")
    page = report.page(store)
    assert "| stream worker against vanilla Faust, events per second | 20× | ≥ 30× | no |" in page
    assert "| stream worker against Quix Streams, events per second | 9× (of two runs) | ≥ 3× | yes |" in page
    assert "| stream worker, CPU seconds per million events | 5 s | ≤ 6 s | yes |" in page


def test_a_part_whose_check_failed_shows_no_figures() -> None:
    store = Store()
    store.results["stream"] = Result(part="stream", figures=[Figure("cpu", "c", 5)], failed="it lost an event")
    page = report.page(store)
    assert "Failed: it lost an event." in page
    assert "| stream worker, CPU seconds per million events | — |" in page


def test_results_come_back_as_they_were_kept(tmp_path: Path) -> None:
    store = Store({"cores": "2"}, {"sdk": Result(part="sdk", events=5, figures=[Figure("rate", "r", 1.5, "s")])})
    save(tmp_path / "figures.json", store)
    assert load(tmp_path / "figures.json") == store
    assert load(tmp_path / "nothing.json") == Store()
