"""A file of metrics: read exactly, and every mistake told at once, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_deploy.errors import MetricsFileError
from meterline_deploy.metrics_file import load_metrics, parse
from meterline_schemas.catalog import Aggregation, Metric

EVERY_MISTAKE = """\
metrics:
  - key: a b
    unit: no
  - name: x
    aggregation: mean
    colour: red
  - key: 12
  - key: twice
  - key: twice
  - hello
  - key: x
    allow_negative: "yes"
  - key: y
    key: z
other: 1
"""


def test_a_file_says_what_is_metered() -> None:
    metrics, problems = parse(
        "metrics:\n"
        "  - {key: api_calls, name: API calls, unit: call}\n"
        "  - key: storage_gb\n    aggregation: max\n    allow_negative: true\n"
    )
    assert problems == []
    assert metrics == [
        Metric(key="api_calls", name="API calls", unit="call", aggregation=Aggregation.SUM),
        Metric(key="storage_gb", aggregation=Aggregation.MAX, allow_negative=True),
    ]


def test_every_mistake_is_told_with_its_line() -> None:
    _metrics, problems = parse(EVERY_MISTAKE)
    told = [str(problem) for problem in problems]
    for line, words in (
        (2, "entry 1: metric key 'a b'"),
        (3, "entry 1: `unit` must be text; put it in quotes"),
        (4, "entry 2: `key` is missing"),
        (5, "entry 2: `aggregation` is 'mean'; choose one of count, sum, min, max, last"),
        (6, "entry 2: `colour` is not known"),
        (7, "entry 3: `key` must be text; put it in quotes"),
        (9, "entry 5: key 'twice' is defined on line 8 already"),
        (10, "entry 6: must be fields"),
        (12, "entry 7: `allow_negative` must be true or false"),
        (14, "entry 8: `key` stands twice"),
        (15, "'other' is not known here"),
    ):
        assert any(each.startswith(f"line {line}: ") and words in each for each in told), (line, words, told)
    assert len(told) == 11


@pytest.mark.parametrize(
    "text",
    [
        *("", "- 1", "metrics:", "metrics: []", "metrics: {}", "metrics: [", "just words", "\t"),
        *("metrics: &a\n  - *a", "metrics:\n  - key: &a [*a]", "? [a]\n: 1", "metrics:\n  - key: !!binary '#'"),
        *("metrics:\n  - key: !!python/object:os.system x", "[" * 5000, "metrics:\n  - key: \x00"),
    ],
)
def test_what_is_no_list_of_metrics_is_a_mistake_and_never_a_crash(text: str) -> None:
    metrics, problems = parse(text)
    assert metrics == []
    assert problems


@given(st.text())
def test_no_text_crashes_it(text: str) -> None:
    metrics, problems = parse(text)
    assert not (metrics and problems)


def test_nothing_of_a_file_with_a_mistake_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "metrics.yaml"
    file.write_text("metrics:\n  - key: fine\n  - key: not fine\n")
    with pytest.raises(MetricsFileError, match=r"metrics\.yaml was not applied:\n  line 3: entry 2: metric key"):
        load_metrics(file)


def test_a_file_that_is_not_text_is_said_to_be_unreadable(tmp_path: Path) -> None:
    file = tmp_path / "metrics.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MetricsFileError, match="cannot be read"):
        load_metrics(file)
