"""Unknown tenants where they are refused, over HTTP: taken as events of an unknown metric are, and judged as these."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.api.judging import Judging, judging
from tests.services.clickhouse import ClickHouseServer


@pytest.fixture(scope="module")
def judged(
    kafka: str, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Judging]:
    folder = tmp_path_factory.mktemp("refusing")
    with judging(kafka, clickhouse_server, folder, METERLINE_UNKNOWN_TENANT="reject") as found:
        yield found


def event(id: str, tenant: str, metric: str = "orders") -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {"id": id, "tenant_id": tenant, "metric": metric, "quantity": 2, "timestamp": now}


def test_what_is_refused_over_http_is_kept_told_and_counted_once_its_tenant_is_there(judged: Judging) -> None:
    http = judged.client
    assert http.post("/v1/tenants", json={"id": "acme"}).status_code == 201
    sent = [event("k-1", "acme"), event("s-1", "stranger"), event("s-2", "stranger"), event("u-1", "acme", "fax")]
    answer = http.post("/v1/events", json=sent)
    assert answer.status_code == 202
    assert [(each["status"], each["id"]) for each in answer.json()["events"]] == [
        ("accepted", each["id"]) for each in sent
    ]
    tracked = http.post("/api/usage/track", json={"organizationId": "company-9", "feature": "orders", "quantity": 3})
    assert tracked.status_code < 300, tracked.text
    judged.settle()

    ((known,), (stranger,), (unknown_metric,)) = (judged.life(id) for id in ("k-1", "s-1", "u-1"))
    assert known["verdict"] == "accepted"
    assert stranger.keys() == unknown_metric.keys()
    assert (stranger["verdict"], stranger["reason"]) == ("rejected", "unknown_tenant")
    assert (unknown_metric["verdict"], unknown_metric["reason"]) == ("rejected", "unknown_metric")
    assert "'stranger' is not defined; define it" in stranger["detail"]
    listed = judged.rejected(reason="unknown_tenant")
    assert sorted(row["tenant_id"] for row in listed) == ["company-9", "stranger", "stranger"]
    assert judged.counted("orders") == (1, Decimal(2))

    before = judged.replay()
    assert (before["matched"], before["chosen"], before["undefined_metrics"]) == (4, 0, ["fax"])
    assert before["undefined_tenants"] == ["company-9", "stranger"]
    assert {each["reason"]: each["count"] for each in before["skipped"]} == {
        "tenant_still_unknown": 3,
        "still_unknown": 1,
    }
    for tenant in ("stranger", "company-9"):
        assert http.put(f"/v1/tenants/{tenant}", json={}).status_code == 201
    for _again in range(2):  # the second before anybody knows of the first
        assert judged.replay(reasons=["unknown_tenant"])["replayed"] == 3
    judged.settle()
    assert judged.counted("orders") == (4, Decimal(9))
    assert judged.life("s-1")[0]["verdict"] == "accepted"
    assert judged.replay(reasons=["unknown_tenant"])["chosen"] == 0
