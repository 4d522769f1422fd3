"""The OpenAPI document is complete: every path, answer and problem, with examples that are true."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from meterline_api.app import create_app
from meterline_api.cloudevents import read_cloudevents
from meterline_api.models import AcceptedModel, ProblemModel, UsageAnswer
from meterline_api.problems import Code
from meterline_api.settings import ApiSettings
from meterline_api.submissions import Form, Submission, read_native
from meterline_schemas.settings import ClickHouseSettings, JudgeSettings, KafkaSettings


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(ApiSettings(key=SecretStr("k")), KafkaSettings(), ClickHouseSettings(), JudgeSettings())


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def test_every_path_is_described(document: dict[str, Any]) -> None:
    assert set(document["paths"]) == {
        "/v1/events",
        "/v1/usage",
        "/v1/usage/aggregate",
        "/v1/metrics",
        "/v1/metrics/{key}",
        "/v1/quotas",
        "/v1/quotas/check",
        "/v1/quotas/{id}",
        "/v1/thresholds",
        "/v1/thresholds/{id}",
        "/v1/tenants",
        "/v1/tenants/{id}",
        "/v1/webhooks",
        "/v1/webhooks/{id}",
        "/v1/notifications",
        "/v1/notifications/{id}",
        "/v1/notifications/{id}/resend",
        "/api/metering/{name}",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            assert operation["description"], path


@pytest.mark.parametrize(("path", "method"), [("/v1/events", "post"), ("/v1/usage", "get")])
def test_the_key_is_required_where_it_is(document: dict[str, Any], path: str, method: str) -> None:
    assert document["paths"][path][method]["security"] == [{"ApiKey": []}]
    assert document["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"


def test_examples_of_requests_can_be_read(document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]
    assert set(content) == set(Form)
    bodies = [(Form.JSON, example["value"]) for example in content[Form.JSON]["examples"].values()]
    bodies += [(form, content[form]["example"]) for form in (Form.CLOUDEVENT, Form.CLOUDEVENTS)]
    for form, value in bodies:
        read = read_native if form is Form.JSON else read_cloudevents
        assert all(isinstance(found, Submission) for found in read(form, msgspec.json.encode(value)))
    lines = content[Form.NDJSON]["example"].encode()
    assert [type(found) for found in read_native(Form.NDJSON, lines)] == [Submission, Submission]


def test_examples_of_answers_are_of_their_type(document: dict[str, Any]) -> None:
    events = document["paths"]["/v1/events"]["post"]["responses"]
    usage = document["paths"]["/v1/usage"]["get"]["responses"]
    AcceptedModel.model_validate(events["202"]["content"]["application/json"]["example"], strict=False)
    example = usage["200"]["content"]["application/json"]["example"]
    UsageAnswer.model_validate(
        {**example, "start": example["from"], "end": example["to"], "data": []},
    )
    for answers in (events, usage):
        for status, answer in answers.items():
            if int(status) < 400 or status == "500":
                continue
            problem = answer["content"]["application/problem+json"]["example"]
            ProblemModel.model_validate(problem)
            assert str(problem["status"]) == status
            assert problem["code"] in set(Code)


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                *_start, name = node["$ref"].split("/")
                assert name in document["components"]["schemas"], name
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(document)
