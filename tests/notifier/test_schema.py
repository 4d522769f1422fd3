"""The published JSON Schemas of notifications: the generated ones, and real records fit them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator, ValidationError

from meterline_schemas import notification as records
from meterline_schemas.catalog import Metric
from meterline_schemas.notification import Notification, Type, notification
from meterline_schemas.notification_schema import DATA, file_name, json_schema, text
from tests.notifier.harness import AT, crossed

PUBLISHED = Path(__file__).parents[2] / "schemas" / "notifications"


def example(type: Type) -> Notification:
    """A record of this type, as the stream and the API write it."""
    data: msgspec.Struct
    if type.startswith("metric."):
        data = records.MetricChanged(metric=Metric(key="orders").model_dump(mode="json"))
    elif type is Type.USAGE_AGGREGATED:
        data = records.UsageAggregated(
            period_type="daily",
            period_start=datetime(2026, 11, 20, tzinfo=UTC),
            period_end=datetime(2026, 11, 21, tzinfo=UTC),
            totals=12,
            differences=[{"tenant_id": "acme"}],
        )
    elif type is Type.PAYMENT_FAILED:
        data = records.PaymentFailed(
            provider="stripe",
            reference="in_1",
            tenant_id="acme",
            customer="cus_1",
            invoices=["INV-000001"],
            amount_due="478.50",
            currency="USD",
            attempt=1,
        )
    elif type is Type.RUN_PROBLEMS:
        data = records.RunProblems(
            job="push", due=AT, state="done", begun_at=AT, ended_at=AT, count=1, problems=["acme: no customer"]
        )
    elif type is Type.USAGE_REFUSED:
        data = records.UsageRefused(
            event="evt_1",
            meter="mtr_1",
            metric="orders",
            count=1,
            window_start=AT,
            window_end=AT,
            summary="There is 1 invalid event",
            reasons=[{"code": "archived_meter", "count": 1, "message": "", "identifiers": []}],
            pushes=[{"tenant_id": "acme", "metric": "orders", "day": "2026-11-20", "identifier": "a:b:2026-11-20:r1"}],
        )
    elif type is Type.BILLING_THRESHOLD_EXCEEDED:
        data = records.BillingThresholdExceeded(
            companyId="acme",
            metric="orders",
            currentUsage=msgspec.Raw(b"10000.000000001"),
            threshold=msgspec.Raw(b"10000"),
            estimatedCost=msgspec.Raw(b"null"),
            thresholdId="orders",
            percent=msgspec.Raw(b"100"),
        )
    else:
        more: dict[str, Any] = (
            {"reason": "limit_raised"} if type is Type.THRESHOLD_RESOLVED else {"estimated_cost": "1.25"}
        )
        return crossed(type=type, **more)
    return notification(type, AT, "acme", data, ("1",))


def validator(type: Type) -> Draft202012Validator:
    schema = json.loads((PUBLISHED / file_name(type)).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_every_type_has_a_schema_and_nothing_else_has() -> None:
    assert set(DATA) == set(Type)
    assert {path.name for path in PUBLISHED.iterdir()} == {file_name(type) for type in Type}


@pytest.mark.parametrize("type", Type)
def test_the_published_schema_is_the_generated_one(type: Type) -> None:
    assert (PUBLISHED / file_name(type)).read_text() == text(type), (
        "if notifications were meant to change, run `python -m meterline_schemas.notification_schema "
        "schemas/notifications`"
    )


@pytest.mark.parametrize("type", Type)
def test_a_real_record_fits_its_schema(type: Type) -> None:
    validator(type).validate(json.loads(example(type).encode()))


@pytest.mark.parametrize("type", Type)
def test_a_record_without_its_data_or_of_another_type_does_not_fit(type: Type) -> None:
    record = json.loads(example(type).encode())
    with pytest.raises(ValidationError):
        validator(type).validate({**record, "data": {}})
    with pytest.raises(ValidationError):
        validator(type).validate({**record, "type": "something.else"})


def test_every_field_that_is_written_as_json_has_a_type() -> None:
    for type, struct in DATA.items():
        properties = json_schema(type)["properties"]["data"]["properties"]
        for field in msgspec.structs.fields(struct):
            assert properties[field.encode_name], f"{type}: {field.encode_name} says nothing"
