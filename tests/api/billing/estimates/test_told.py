"""What is told of closed invoices elsewhere: their total in the reporting currency, and numbers on ``/metrics``."""

from __future__ import annotations

from decimal import Decimal

import httpx

from tests.api.billing.estimates.site import NEW, exact, invoices
from tests.api.process import ApiProcess
from tests.support.pipeline import Pipeline
from tests.support.streams import wait_until


def test_a_total_is_told_in_the_reporting_currency_with_its_rate(api: ApiProcess) -> None:
    (found, *_) = invoices(api, NEW)
    assert (found["total"], found["currency"]) == ("199.30", "USD")
    wanted = {"currency": "EUR", "rate": "0.9", "source": "a bank", "date": "2020-01-01"}
    assert found["exchange"] == {**wanted, "total": "179.37"}
    draft = exact(api.client.get(f"/v1/tenants/{NEW}/draft-invoice"))
    assert Decimal(draft["exchange"]["total"]) == round(Decimal(draft["total"]) * Decimal("0.9"), 2)
    note = exact(api.client.post(f"/v1/invoices/{found['number']}/void", json={"reason": "a test"}), 201)
    assert note["exchange"] == {**wanted, "total": "-179.37"}


def test_invoices_and_runs_are_on_metrics(api: ApiProcess, pipeline: Pipeline) -> None:
    wait_until(
        lambda: bool(pipeline.query("SELECT due FROM {db}.billing_runs WHERE state = 'done'")), 60, "the run is there"
    )
    text = httpx.get(api.client.base_url.join("/metrics"), trust_env=False).text
    numbers = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    rows = pipeline.query("SELECT currency, count() AS n FROM {db}.invoices WHERE kind = 'invoice' GROUP BY currency")
    assert rows
    for row in rows:
        name = f'meterline_billing_invoices{{currency="{row["currency"]}",kind="invoice"}}'
        assert float(numbers[name]) == int(row["n"])
    assert float(numbers['meterline_billing_runs{job="close",state="done"}']) >= 1
    assert float(numbers['meterline_billing_run_last_seconds{job="close"}']) > 1.7e9
    assert float(numbers["meterline_billing_left_open"]) == 0
    assert float(numbers['meterline_billing_pushes{state="open"}']) == 0
