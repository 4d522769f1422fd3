"""The OpenAPI document is complete: every path, answer and problem, with examples that are true."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from meterline_api.access.routes import guarded
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


def test_every_operation_is_described(app: FastAPI, document: dict[str, Any]) -> None:
    ids = []
    tags = {tag["name"] for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            ids.append(operation["operationId"])
            assert operation["summary"], where
            assert operation["description"], where
            assert operation["tags"], where
            assert set(operation["tags"]) <= tags, where
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch("[a-z][a-z0-9_]*", id) for id in ids), ids


def test_failures_are_problems_where_problems_are_answered(app: FastAPI, document: dict[str, Any]) -> None:
    for path in {str(each.route.path_format) for each in guarded(app)}:
        for method, operation in document["paths"][path].items():
            refused, failed = (set(operation["responses"][status]["content"]) for status in ("401", "500"))
            assert failed == refused, f"{method} {path}"


def test_a_key_is_required_wherever_it_is(app: FastAPI, document: dict[str, Any]) -> None:
    guarded_paths = {str(each.route.path_format) for each in guarded(app)}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation.get("security") == ([{"Bearer": []}] if path in guarded_paths else None), path
            refusals = {"401", "403", "429"} & set(operation["responses"])
            assert len(refusals) == (3 if path in guarded_paths else 0), path
    assert document["components"]["securitySchemes"]["Bearer"]["scheme"] == "bearer"


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
