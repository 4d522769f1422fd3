"""What a decorator takes from a call: what is not there never breaks it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline.call import Call, Parameters
from meterline.decorator import track_usage, usage_errors
from meterline.errors import InvalidUsageError
from meterline.extractors import arg, constant, result, yielded
from meterline.quota_check import QuotaCheck
from meterline.testing import InMemoryProducer
from meterline_schemas.errors import ConfigurationError

ACME = constant("acme")


@pytest.fixture
def producer() -> InMemoryProducer:
    return InMemoryProducer()


def shapes() -> list[Callable[..., Any]]:
    def one(a: Any, b: Any = 2, *, c: Any = 3) -> None: ...
    def two(a: Any, /, b: Any, *rest: Any, c: Any, **further: Any) -> None: ...
    def three(a: Any = 1, /, **further: Any) -> None: ...
    def four(*a: Any, b: Any = None) -> None: ...

    return [one, two, three, four]


@given(
    st.sampled_from(shapes()),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.integers()),
    st.sampled_from(["a", "b", "c", "d"]),
)
def test_an_argument_is_the_one_that_the_function_gets(
    function: Callable[..., Any], args: list[int], kwargs: dict[str, int], name: str
) -> None:
    parameters = Parameters(function)
    try:
        bound = parameters.bind(tuple(args), kwargs)
    except TypeError:
        return  # there was no such call
    assert parameters.have(name) or name not in bound
    if name in bound:
        assert parameters.find(name, tuple(args), kwargs) == bound[name]
    else:
        with pytest.raises(KeyError):
            parameters.find(name, tuple(args), kwargs)


def raises(call: Call) -> Any:
    raise RuntimeError("extractor")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def raises_unprintable(call: Call) -> Any:
    raise Unprintable


FAILING: dict[str, dict[str, Any]] = {
    "raises": {"tenant": raises},
    "raises without a text": {"tenant": raises_unprintable},
    "None": {"tenant": lambda call: None},
    "no such attribute": {"quantity": result("usage.tokens")},
    "a float": {"quantity": lambda call: 1.5},
    "too many decimals": {"quantity": lambda call: "0.0000000001"},
    "an empty tenant": {"tenant": lambda call: ""},
    "a wrong type": {"subject": lambda call: ["x"]},
    "properties that are none": {"properties": lambda call: 7},
    "a property that is no JSON": {"properties": {"x": lambda call: object()}},
    "a naive time": {"timestamp": lambda call: datetime(2026, 1, 1)},  # noqa: DTZ001
    "no producer": {"producer": lambda: 1 / 0},
    "an id that is None": {"id": lambda call: None},
}


@pytest.mark.parametrize("name", FAILING)
def test_what_cannot_be_counted_is_counted_logged_and_never_noticed(
    name: str, producer: InMemoryProducer, caplog: pytest.LogCaptureFixture
) -> None:
    @track_usage("jobs", **{"tenant": ACME, "when": "always", "producer": producer, **FAILING[name]})
    def job(fail: bool) -> int:
        if fail:
            raise LookupError("of the job")
        return 42

    before = usage_errors()
    assert job(False) == 42
    with pytest.raises(LookupError, match="of the job") as raised:
        job(True)
    assert raised.value.__context__ is None
    assert usage_errors(job) == 2
    assert usage_errors() - before == 2
    producer.assert_not_tracked()
    logged = [record for record in caplog.records if record.name == "meterline"]
    if name != "raises without a text":
        assert [record.levelno for record in logged] == [logging.WARNING]
        assert "job was not counted (1 times); the last: jobs: " in logged[0].getMessage()


def test_a_log_that_raises_does_not_break_the_call(producer: InMemoryProducer) -> None:
    @track_usage("jobs", tenant=raises, producer=producer)
    def job() -> int:
        return 42

    def broken(record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter")

    log = logging.getLogger("meterline")
    log.addFilter(broken)
    try:
        assert job() == 42
    finally:
        log.removeFilter(broken)
    assert usage_errors(job) == 1


def test_without_a_producer_the_one_of_the_process_is_used_and_its_absence_is_told(
    meterline_producer: InMemoryProducer,
) -> None:
    @track_usage("jobs", tenant=ACME)
    def job() -> int:
        return 42

    job()
    meterline_producer.assert_tracked("acme", "jobs", times=1)


def test_an_app_without_settings_goes_on(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("meterline.tracker._default", None)

    @track_usage("jobs", tenant=ACME)
    def job() -> int:
        return 42

    assert job() == 42
    assert usage_errors(job) == 1
    assert "METERLINE_KAFKA" in caplog.text


def plain(tenant_id: str, pages: int = 1) -> int:
    return pages


CHECK = QuotaCheck("http://127.0.0.1:1", "key")

WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "a bare text": ({"tenant": "tenant_id"}, ConfigurationError, r"arg\('tenant_id'\).*constant\('tenant_id'\)"),
    "a text as quantity": ({"quantity": "pages"}, ConfigurationError, r"arg\('pages'\)"),
    "an unknown parameter": ({"tenant": arg("tenant")}, ConfigurationError, "plain has no parameter 'tenant'; it has"),
    "one in properties": ({"properties": {"x": arg("y")}}, ConfigurationError, "no parameter 'y'"),
    "a float": ({"quantity": 1.5}, TypeError, "float"),
    "a float constant": ({"quantity": constant(1.5)}, TypeError, "float"),
    "an empty tenant": ({"tenant": constant("")}, InvalidUsageError, "empty"),
    "no tenant": ({"tenant": None}, ConfigurationError, "needs a tenant"),
    "one id for all": ({"id": constant("x")}, ConfigurationError, "only its first call"),
    "a wrong when": ({"when": "never"}, ConfigurationError, "'success' or 'always'"),
    "a number as tenant": ({"tenant": 7}, ConfigurationError, "write arg"),
    "a result before the call": ({"tenant": result("org"), "check": CHECK}, ConfigurationError, "before the call"),
    "items of a function": ({"quantity": yielded()}, ConfigurationError, "no generator"),
    "a check that is none": ({"check": 5}, ConfigurationError, "QuotaCheck"),
    "a producer that is none": ({"producer": 5}, ConfigurationError, "a function that returns one"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_work_is_said_when_the_function_is_decorated(name: str) -> None:
    options, error, text = WRONG[name]
    with pytest.raises(error, match=text):
        track_usage("scans", **{"tenant": ACME, **options})(plain)


def test_a_metric_that_can_never_count_and_a_class_are_refused() -> None:
    with pytest.raises(InvalidUsageError, match="metric is empty"):
        track_usage("", tenant=ACME)(plain)
    with pytest.raises(ConfigurationError, match="functions and methods"):
        track_usage("scans", tenant=ACME)(dict)
    for path in ("", "a..b", ".a"):
        with pytest.raises(ConfigurationError, match="write a name"):
            arg(path)
