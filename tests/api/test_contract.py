"""The API against its own OpenAPI document: whatever is sent, no answer is undocumented and none is a failure.

schemathesis makes requests of all kinds from the document, right ones and wrong ones, and follows from one to the next.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.stateful import run_state_machine_as_test
from pydantic import SecretStr
from schemathesis.checks import CheckContext
from schemathesis.specs.openapi import checks as openapi

from meterline_api.app import create_app
from meterline_api.settings import ApiSettings
from meterline_schemas.catalog import Metric
from meterline_schemas.settings import ClickHouseSettings, JudgeSettings, KafkaSettings
from tests.api.process import KEY, ApiProcess
from tests.services.kafka import create_topics
from tests.support.cluster import producer
from tests.support.examples import few

EXAMPLES = few(5)  # of each operation
PROFILE = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture(scope="module")
def tables(module_database: ClickHouseSettings) -> ClickHouseSettings:
    return module_database


@pytest.fixture(scope="module")
def api(kafka: str, tables: ClickHouseSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    prefix = f"contract-{uuid.uuid4().hex[:8]}."
    create_topics(kafka, prefix, 2)
    sender = producer(kafka)
    metric = Metric(key="api_calls")
    sender.produce(prefix + "meterline.config", metric.encode(), key=metric.record_key)
    assert sender.flush(30) == 0
    process = ApiProcess(kafka, prefix, tables, tmp_path_factory.mktemp("api"))
    try:
        process.start()
        yield process
        assert "Traceback" not in process.log()
        assert "internal error" not in process.log(), process.log()
    finally:
        process.stop()


@pytest.fixture(scope="module")
def document(api: ApiProcess) -> Any:
    found = schemathesis.openapi.from_url(f"{api.client.base_url}/openapi.json")
    found.config.update(headers={"Authorization": f"Bearer {KEY}"})
    return found


@schemathesis.check
def it_did_not_fail(_context: CheckContext, response: Any, _case: Any) -> None:
    """503 is honest: something that it needs does not answer, or is behind. 500 never is."""
    assert response.status_code != 500, response.text


CHECKS = [
    it_did_not_fail,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
]


OPERATIONS = [
    (method.upper(), path)
    for path, operations in create_app(
        ApiSettings(key=SecretStr(KEY)), KafkaSettings(), ClickHouseSettings(), JudgeSettings()
    )
    .openapi()["paths"]
    .items()
    for method in operations
]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_answer_is_undocumented(document: Any, method: str, path: str) -> None:
    operation = document[path][method]

    @PROFILE
    @given(operation.as_strategy())
    def walk(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {KEY}"}, checks=CHECKS, timeout=60)

    walk()


def test_no_answer_is_undocumented_on_the_way_from_one_to_the_next(document: Any) -> None:
    """What one answer gives, ids and cursors, goes into the next request."""

    class Walk(document.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": {"Authorization": f"Bearer {KEY}"}, "timeout": 60}

        def validate_response(self, response: Any, case: Any, **_more: Any) -> None:
            case.validate_response(response, checks=CHECKS)

    run_state_machine_as_test(Walk, settings=settings(PROFILE, max_examples=EXAMPLES, stateful_step_count=10))
