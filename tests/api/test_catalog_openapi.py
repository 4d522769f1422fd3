"""What OpenAPI says of the catalog and of document 3 is true: bodies can be read, problems have their form."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from meterline_api.app import create_app
from meterline_api.documents.shared import ErrorModel
from meterline_api.models import ProblemModel
from meterline_api.problems import Code
from meterline_api.settings import ApiSettings
from meterline_schemas.catalog import Entry, Metric, Plan, Quota, Tenant, Threshold, Webhook, read_entry
from meterline_schemas.settings import ClickHouseSettings, JudgeSettings, KafkaSettings

KINDS: dict[str, tuple[type[Entry], dict[str, str]]] = {
    "metrics": (Metric, {}),
    "quotas": (Quota, {}),
    "thresholds": (Threshold, {"id": "th_1"}),
    "tenants": (Tenant, {}),
    "webhooks": (Webhook, {"id": "wh_1", "secret": "whsec_" + "A" * 44}),
    "plans": (Plan, {}),
}
MADE_HERE = {"version", "changed_at"}


@pytest.fixture(scope="module")
def paths() -> dict[str, Any]:
    app: FastAPI = create_app(ApiSettings(key=SecretStr("k")), KafkaSettings(), ClickHouseSettings(), JudgeSettings())
    found: dict[str, Any] = app.openapi()["paths"]
    return found


def operations(paths: dict[str, Any], kind: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (path, method): operation
        for path, methods in paths.items()
        for method, operation in methods.items()
        if path in (f"/v1/{kind}", f"/v1/{kind}/{{id}}", f"/v1/{kind}/{{key}}")
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_names_every_field_and_its_example_can_be_read(paths: dict[str, Any], kind: str) -> None:
    entry, made = KINDS[kind]
    seen = set()
    for (_path, method), operation in operations(paths, kind).items():
        seen.add(method)
        if method in ("get", "delete"):
            assert "requestBody" not in operation
            continue
        body = operation["requestBody"]["content"]["application/json"]
        assert body["schema"]["properties"].keys() == entry.model_fields.keys() - MADE_HERE
        assert body["example"].keys() <= body["schema"]["properties"].keys()
        if method != "patch":
            read_entry(entry, {**made, **body["example"]})
            assert set(body["schema"].get("required", [])) <= body["example"].keys()
            assert method == "put" or kind != "metrics" or body["schema"]["required"] == ["key"]
        else:
            assert "required" not in body["schema"]
    assert seen >= {"get", "post", "patch", "delete"}


@pytest.mark.parametrize("kind", KINDS)
def test_problems_are_of_their_form(paths: dict[str, Any], kind: str) -> None:
    for (path, method), operation in operations(paths, kind).items():
        assert operation["security"] == [{"Bearer": []}], path
        assert {"401"} <= operation["responses"].keys()
        assert method == "get" or {"404", "503"} <= operation["responses"].keys()
        for status, answer in operation["responses"].items():
            if int(status) < 400 or status == "500" or "application/problem+json" not in answer["content"]:
                continue
            problem = answer["content"]["application/problem+json"]["example"]
            ProblemModel.model_validate(problem)
            assert str(problem["status"]) == status
            assert problem["code"] in set(Code)


def test_errors_of_document_3_are_of_their_form(paths: dict[str, Any]) -> None:
    for operation in paths["/api/metering/{name}"].values():
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and status != "500":
                example = answer["content"]["application/json"]["example"]
                assert ErrorModel.model_validate(example).error.code in set(Code)
