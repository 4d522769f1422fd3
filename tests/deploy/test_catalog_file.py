"""A file for the catalog: read exactly, and every mistake told at once, with its line."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_deploy.catalog import EntriesRefusedError, plan
from meterline_deploy.catalog_file import LISTS, load_catalog, parse
from meterline_deploy.defaults import Default, read_default
from meterline_deploy.errors import CatalogFileError
from meterline_deploy.yaml_fields import fields_of
from meterline_schemas.catalog import (
    Action,
    Aggregation,
    Book,
    Entry,
    Measure,
    Metric,
    Plan,
    Quota,
    Span,
    Tenant,
    TenantPlan,
    Threshold,
    Webhook,
)
from meterline_schemas.catalog.price import Graduated, PerUnit, Tier
from meterline_schemas.notification import Type
from meterline_schemas.periods import Period

SECRET = "whsec_" + "A" * 43 + "="
NOW = datetime(2026, 11, 15, tzinfo=UTC)

EVERYTHING = f"""\
thresholds:
  - {{id: calls, metric: api_calls, steps: [50, 80.5, 100], action: BLOCK, notify_webhooks: [ops]}}
quotas:
  - metric: api_calls
    included: 0.000000001
    price_per_unit: 123456789012345.123456789
    currency: EUR
    period: BILLING
  - {{metric: api_calls, tenant_id: acme, subject: "user:1", included: "10"}}
webhooks:
  - {{id: ops, url: "https://example.com/x", secret: {SECRET}, events: [threshold.exceeded]}}
tenants:
  - {{id: acme, time_zone: Europe/Vienna, billing_anchor: 31}}
metrics:
  - key: api_calls
    aggregation: COUNT
    allow_negative: yes
    group_by: [region]
tenant_plans:
  - tenant_id: acme
    spans:
      - {{start: 2026-11-01T00:00:00+01:00, plan: team}}
      - {{start: "2026-12-01T00:00:00Z", plan: null}}
plans:
  - id: team
    currency: USD
    versions:
      - charges:
          - metric: api_calls
            price: {{model: per_unit, unit_price: 0.01, per: 1000}}
      - start: 2026-12-01 00:00:00Z
        base_fee: 199.00
        charges:
          - metric: api_calls
            included: 1000
            price:
              model: graduated
              tiers:
                - {{up_to: 100, unit_price: 0.5}}
                - unit_price: 0.000000001
"""

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
  - key: 2026-11-01
    unit:
  - key: users
    aggregation: unique_count
other: 1
quotas:
  - {metric: twice, included: 1}
  - metric: twice
    included: 2.5
    currency: EUR
  - {metric: twice, included: 3}
  - metric: twice
    tenant_id: 4711
    included: 0.0000000001
    time_zone: Europe/Vjenna
  - included: yes
thresholds:
  - id: low
    metric: twice
    amount: 0
  - id: steps
    metric: twice
    steps:
      - 80
      - .nan
      - 0
  - id: mail
    metric: twice
    notify_emails: ops@example.com
    action: shout
    version: 3
tenants:
  - id: t
    billing_anchor: 1.5
  - id: u
    billing_anchor: 32
webhooks:
  - id: w
    url: example.com
    secret: hunter2
  - id: x
    url: https://example.com
    secret: ${NOT_SET}
plans:
  - id: team
    currency: USD
    versions:
      - base_fee: x
        charges:
          - metric: 12
            colour: red
            price: {model: per_unit, unit_price: -1, size: 3}
          - metric: a
            price: {unit_price: 1}
          - metric: b
            price: {model: magic, unit_price: 1}
      - start: 2026-12-01
      - start: soon
        charges: 5
tenant_plans:
  - tenant_id: t
    spans:
      - {start: 2026-12-01T00:00:00Z, plan: x y}
      - [1]
"""

TIERS = (Tier(up_to=Decimal(100), unit_price=Decimal("0.5")), Tier(unit_price=Decimal("0.000000001")))

TOLD = (
    (2, "metric 1: `key`: metric key 'a b': letters"),
    (3, "metric 1: `unit` must be text; put it in quotes"),
    (4, "metric 2: `key`: is missing"),
    (5, "metric 2: `aggregation`: is 'mean'; choose one of 'count', 'sum', 'avg'"),
    (6, "metric 2: `colour` is not known; fields are key, name"),
    (7, "metric 3: `key` must be text; put it in quotes"),
    (9, "metric 5: key 'twice' is defined on line 8 already"),
    (10, "metric 6: must be fields"),
    (12, "metric 7: `allow_negative` must be true or false"),
    (14, "metric 8: `key` stands twice"),
    (15, "metric 9: `key` must be text; put it in quotes"),
    (16, "metric 9: `unit` is empty: give it a value, or leave the line out"),
    (17, "metric 10: unique_count needs `unique_by`"),
    (19, "'other' is not known here; `metrics:`"),
    (22, "quota 2: `price_per_unit` and `currency` go together"),
    (25, "quota 3: a quota of twice for all tenants is defined on line 21 already"),
    (27, "quota 4: `tenant_id` must be text; put it in quotes"),
    (28, "quota 4: `included`: it has more than 9 decimals"),
    (29, "quota 4: `time_zone`: 'Europe/Vjenna' is no time zone; write an IANA name"),
    (30, "quota 5: `metric`: is missing"),
    (30, "quota 5: `included` must be a decimal number"),
    (34, "threshold 1: `amount`: is 0; a threshold must be above 0"),
    (39, "threshold 2: `steps.1`: it is not a decimal number"),
    (40, "threshold 2: `steps.2`: Input should be greater than 0"),
    (43, "threshold 3: `notify_emails` must be a list, each text, as in [a, b]"),
    (44, "threshold 3: `action`: is 'shout'; choose one of 'alert', 'block', 'none'"),
    (45, "threshold 3: `version` is not known"),
    (48, "tenant 1: `billing_anchor` must be a whole number"),
    (50, "tenant 2: `billing_anchor`: Input should be less than or equal to 31"),
    (53, "webhook 1: `url`: must be an http or https address"),
    (54, "webhook 1: `secret`: must be whsec_"),
    (57, "webhook 2: `secret`: ${NOT_SET}: the environment has no variable NOT_SET; set it"),
    (62, "plan 1: `versions.0.base_fee`: it is not a decimal number"),
    (64, "plan 1: `versions.0.charges.0.metric` must be text; put it in quotes"),
    (65, "plan 1: `versions.0.charges.0.colour` is not known; fields are metric, name"),
    (66, "plan 1: `versions.0.charges.0.price.size` is not known; fields are model, unit_price, per"),
    (66, "plan 1: `versions.0.charges.0.price.unit_price`: Input should be greater than or equal to 0"),
    (68, "plan 1: `versions.0.charges.1.price`: needs 'model'"),
    (70, "plan 1: `versions.0.charges.2.price.model`: is 'magic'; choose one of 'per_unit', 'package'"),
    (71, "plan 1: `versions.1.start`: must be a time with its zone"),
    (72, "plan 1: `versions.2.start`: must be a time with its zone"),
    (73, "plan 1: `versions.2.charges` must be a list, each fields, each with its value"),
    (77, "tenant_plan 1: `spans.0.plan`: letters, digits and _ . - only"),
    (78, "tenant_plan 1: `spans.1` must be fields, each with its value"),
)


def entries(text: str) -> list[Entry]:
    found, problems = parse(text)
    assert problems == []
    return [each.entry for each in found]


def test_a_file_says_what_is_metered() -> None:
    assert entries(
        "metrics:\n"
        "  - {key: api_calls, name: API calls, unit: call}\n"
        "  - key: storage_gb\n    aggregation: max\n    allow_negative: true\n"
    ) == [
        Metric(key="api_calls", name="API calls", unit="call", aggregation=Aggregation.SUM),
        Metric(key="storage_gb", aggregation=Aggregation.MAX, allow_negative=True),
    ]


def test_each_kind_is_read_exactly_and_comes_after_what_it_may_refer_to() -> None:
    assert entries(EVERYTHING) == [
        Metric(key="api_calls", aggregation=Aggregation.COUNT, allow_negative=True, group_by=("region",)),
        Tenant(id="acme", time_zone="Europe/Vienna", billing_anchor=31),
        Webhook(id="ops", url="https://example.com/x", secret=SECRET, events=(Type.THRESHOLD_EXCEEDED,)),
        Quota(
            metric="api_calls",
            included=Decimal("0.000000001"),
            price_per_unit=Decimal("123456789012345.123456789"),
            currency="EUR",
            period=Period.BILLING,
        ),
        Quota(metric="api_calls", tenant_id="acme", subject="user:1", included=Decimal(10)),
        Threshold(
            id="calls",
            metric="api_calls",
            steps=(Decimal(50), Decimal("80.5"), Decimal(100)),
            action=Action.BLOCK,
            notify_webhooks=("ops",),
        ),
        Plan.model_validate(
            {
                "id": "team",
                "currency": "USD",
                "versions": [
                    {"charges": [{"metric": "api_calls", "price": PerUnit(unit_price="0.01", per=1000)}]},  # type: ignore[arg-type]
                    {
                        "start": datetime(2026, 12, 1, tzinfo=UTC),
                        "base_fee": 199,
                        "charges": [{"metric": "api_calls", "included": 1000, "price": Graduated(tiers=TIERS)}],
                    },
                ],
            }
        ),
        TenantPlan(
            tenant_id="acme",
            spans=(
                Span(start=datetime(2026, 10, 31, 23, tzinfo=UTC), plan="team"),
                Span(start=datetime(2026, 12, 1, tzinfo=UTC), plan=None),
            ),
        ),
    ]


def test_every_mistake_is_told_with_its_line() -> None:
    _entries, problems = parse(EVERY_MISTAKE)
    told = [str(problem) for problem in problems]
    for line, words in TOLD:
        assert any(each.startswith(f"line {line}: {words}") for each in told), (line, words, told)
    assert len(told) == len(TOLD), [each for each in told if not any(words in each for _line, words in TOLD)]
    assert "hunter2" not in "".join(told)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        *((text, "it is not a decimal number") for text in (".inf", "1_000", "0x10", "1:30", "+1", "a", '""')),
        *((text, "must be a decimal number, such as 1.5") for text in ("true", "2026-11-01", "[1]", "{a: 1}", "!x 1")),
        ("1000000000000000000", "must be below 10^18"),
        ("", "is empty"),
    ],
)
def test_what_is_no_decimal_is_told_and_never_guessed(value: str, words: str) -> None:
    found, (problem,) = parse(f"quotas:\n  - metric: x\n    included: {value}\n")
    assert found == []
    assert problem.line == 3
    assert words in problem.what


@pytest.mark.parametrize(
    "text",
    [
        *("", "- 1", "metrics:", "metrics: []", "metrics: {}", "metrics: [", "just words", "\t", "{}", "--- 1\n--- 2"),
        *("metrics: &a\n  - *a", "metrics:\n  - key: &a [*a]", "? [a]\n: 1", "metrics:\n  - key: !!binary '#'"),
        *("metrics:\n  - key: !!python/object:os.system x", "[" * 5000, "metrics:\n  - key: \x00"),
        *("thresholds: 1", "quotas:\nquotas:", "metrics:\n  - ? [a]\n    : 1", "metrics:\n  - <<: {key: a}"),
        *("thresholds:\n  - steps: &a [*a]", "thresholds:\n  - &a {id: *a}"),
    ],
)
def test_what_is_no_catalog_is_a_mistake_and_never_a_crash(text: str) -> None:
    found, problems = parse(text)
    assert found == []
    assert problems


words = st.one_of(
    st.text(max_size=20),
    st.sampled_from([*LISTS, "yes", "~", "1e9", "0.5", "[a]", "&a", "*a", "2026-11-01", "!!str", "#", "''"]),
    st.sampled_from([name for kind in LISTS.values() for name in fields_of(kind)]),
)


@given(
    st.text()
    | st.lists(st.tuples(st.sampled_from(["", "  ", "  - ", "    "]), words, words)).map(
        lambda lines: "\n".join(f"{indent}{name}: {value}" for indent, name, value in lines)
    )
)
def test_no_text_crashes_it(text: str) -> None:
    found, problems = parse(text)
    assert found or problems


def test_nothing_of_a_file_with_a_mistake_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "metrics.yaml"
    file.write_text("metrics:\n  - key: fine\n  - key: not fine\n")
    with pytest.raises(
        CatalogFileError, match=r"metrics\.yaml was not applied:\n  line 3: metric 2: `key`: metric key"
    ):
        load_catalog(file)


def test_a_file_that_is_not_text_is_said_to_be_unreadable(tmp_path: Path) -> None:
    file = tmp_path / "metrics.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogFileError, match="cannot be read"):
        load_catalog(file)


def test_a_secret_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text("webhooks:\n  - {id: ops, url: 'https://example.com', secret: '${OPS_SECRET}'}\n")
    monkeypatch.setenv("OPS_SECRET", SECRET)
    (written,) = load_catalog(file)
    assert isinstance(written.entry, Webhook)
    assert written.entry.secret == SECRET


# what applying it changes


def applied(*texts: str) -> Book:
    book = Book()
    for text in texts:
        for change in plan(book, entries(text), NOW):
            book.apply(change.after.record_key, change.after.encode())
    return book


def test_an_entry_may_refer_to_another_of_the_same_file() -> None:
    book = Book()
    changes = plan(book, entries(EVERYTHING), NOW)
    assert all(change.before is None and change.written for change in changes)
    assert book.keys() == set(), "planning changes nothing"


def test_what_is_written_already_is_not_written_again() -> None:
    assert not any(change.written for change in plan(applied(EVERYTHING), entries(EVERYTHING), NOW))


def test_every_refusal_is_told_and_each_once() -> None:
    book = applied("metrics: [{key: storage, aggregation: max}, {key: users, aggregation: unique_count, unique_by: a}]")
    found = entries(
        "metrics: [{key: storage, aggregation: unique_count, unique_by: a}]\n"
        "quotas: [{metric: storage, included: 1}, {metric: nowhere, included: 1}, {metric: users, included: 1}]\n"
        "thresholds: [{id: t, metric: storage, notify_webhooks: [nobody]}]\n"
    )
    with pytest.raises(EntriesRefusedError) as refused:
        plan(book, found, NOW)
    assert [(position, each.code) for position, each in refused.value.refusals] == [
        (0, "meaning"),
        (2, "invalid"),
        (3, "invalid"),
        (4, "invalid"),
    ]
    assert "'nowhere' is not defined; define the metric first" in str(refused.value)
    assert "nobody: not defined; define the webhook first" in str(refused.value)


# the files that come with it


@pytest.mark.parametrize("names", [("features", "orders"), ("orders", "features")], ids=",".join)
def test_the_shipped_files_go_together_in_any_order(names: tuple[str, str]) -> None:
    book = applied(*(read_default(Default(name)) for name in names))
    assert len(book.metrics) == 14, "api_call means the same in both"
    assert book.thresholds("anybody", "order")[0].amount == 10_000


def test_the_ten_features_have_their_free_tier_and_price() -> None:
    book = applied(read_default(Default.FEATURES))
    expected = {
        "ocr_scan": ("scan", "50", "0.05"),
        "api_call": ("call", "10000", "0.001"),
        "storage_gb": ("GB", "5", "0.02"),
        "ai_classification": ("classification", "100", "0.01"),
        "email_sent": ("email", "1000", "0.005"),
        "bank_sync": ("sync", "30", "0.03"),
        "sms_sent": ("sms", "100", "0.1"),
        "pdf_export": ("export", "200", "0.02"),
        "webhook_sent": ("webhook", "5000", "0.002"),
        "custom_report": ("report", "50", "0.05"),
    }
    found = {}
    for metric in book.all(Metric):
        quota = book.quota("anybody", metric.key)
        assert quota is not None
        assert (quota.currency, book.calendar(quota, "anybody").period) == ("USD", Period.MONTHLY)
        found[metric.key] = (metric.unit, str(quota.included), str(quota.price_per_unit))
    assert found == expected
    ocr = book.quota("org_test", "ocr_scan")
    assert ocr is not None
    assert ocr.price_per_unit is not None
    assert ocr.overage(Decimal(75)) * ocr.price_per_unit == Decimal("1.25")


def test_orders_warn_at_80_and_100_percent_of_ten_thousand() -> None:
    (threshold,) = applied(read_default(Default.ORDERS)).thresholds("anybody", "order")
    assert threshold.amount == 10_000
    assert threshold.steps == (Decimal(80), Decimal(100))
    assert threshold.action is Action.ALERT


@pytest.mark.parametrize("name", [name for name in Default if name.startswith("plan-")])
def test_each_shipped_plan_is_applied_with_its_metrics_alone_and_beside_all_others(name: Default) -> None:
    alone = applied(read_default(name))
    (found,) = alone.all(Plan)
    assert {charge.metric for charge in found.versions[0].charges} == {metric.key for metric in alone.all(Metric)}
    assert all(charge.name and charge.description for charge in found.versions[0].charges)
    assert alone.plan_of("acme", NOW) is None, "nobody is on it by itself"
    together = applied(*(read_default(each) for each in Default))
    assert together.plan(found.id) == found
    again = plan(together, entries(read_default(name)), NOW)
    assert not any(change.written for change in again), "what two files say of a metric is the same"


RATES = {
    Default.PLAN_METERED: {
        "storage_gb_month": ("GB-Month", "0", 1, "0"),
        "job_execution_unit": ("", "0", 1, "0"),
        "premium_api_call": ("", "0", 1, "0"),
        "transaction": ("", "0", 1, "0"),
    },
    Default.PLAN_PAY_AS_YOU_GO: {
        "ocr_scan": ("scan", "0.05", 1, "50"),
        "api_call": ("call", "0.001", 1, "10000"),
        "storage_gb": ("GB", "0.02", 1, "5"),
        "ai_classification": ("classification", "0.01", 1, "100"),
        "email_sent": ("email", "0.005", 1, "1000"),
        "bank_sync": ("sync", "0.03", 1, "30"),
        "sms_sent": ("sms", "0.10", 1, "100"),
        "pdf_export": ("export", "0.02", 1, "200"),
        "webhook_sent": ("webhook", "0.002", 1, "5000"),
        "custom_report": ("report", "0.05", 1, "50"),
    },
    Default.PLAN_ORDER_MANAGEMENT: {
        "order": ("order", "0.10", 1, "0"),
        "invoice": ("invoice", "0.05", 1, "0"),
        "storage": ("GB", "1.00", 1, "0"),
        "api_call": ("call", "0.01", 1000, "0"),
        "ai_job": ("job", "0.50", 1, "0"),
    },
    Default.PLAN_SERVICES: {
        "marketplace.wpk_upload": ("upload", "0.10", 1, "0"),
        "marketplace.wpk_review": ("review", "0.05", 1, "0"),
        "analytics.query": ("query", "0.01", 1, "0"),
        "analytics.report": ("report", "0.25", 1, "0"),
        "storage.gb_hour": ("GB-hour", "0.02", 1, "0"),
        "compute.cpu_hour": ("CPU-hour", "0.50", 1, "0"),
        "compute.memory_gb_hour": ("GB-hour", "0.10", 1, "0"),
    },
}


@pytest.mark.parametrize("name", RATES)
def test_the_shipped_plans_have_the_rates_of_their_price_lists(name: Default) -> None:
    book = applied(read_default(name))
    (found,) = book.all(Plan)
    (version,) = found.versions
    assert found.currency == "USD"
    assert version.base_fee == (199 if name is Default.PLAN_ORDER_MANAGEMENT else 0)
    rates = {}
    for charge in version.charges:
        assert isinstance(charge.price, PerUnit)
        rates[charge.metric] = (
            book.metrics[charge.metric].unit, charge.price.unit_price, charge.price.per, charge.included,
        )  # fmt: skip
        is_gauge = book.is_gauge(charge.metric)
        assert (charge.measure is Measure.UNIT_MONTHS) == is_gauge, "storage is charged by the month"
    assert rates == {
        metric: (unit, Decimal(price), Decimal(per), Decimal(included))
        for metric, (unit, price, per, included) in RATES[name].items()
    }


def test_a_version_that_has_begun_is_refused_with_its_line() -> None:
    book = applied(EVERYTHING)
    dearer = EVERYTHING.replace("unit_price: 0.01,", "unit_price: 0.02,")
    with pytest.raises(EntriesRefusedError) as refused:
        plan(book, entries(dearer), NOW)
    ((position, reason),) = refused.value.refusals
    (problem,) = reason.problems
    assert (reason.code, problem.field) == ("meaning", "versions.0")
    written = parse(dearer)[0][position]
    line = dearer.splitlines().index("      - charges:") + 1
    assert written.problem(problem).line == line


def test_the_files_on_the_page_of_plans_are_taken() -> None:
    page = (Path(__file__).parents[2] / "docs" / "plans.md").read_text()
    texts = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    book = applied("metrics: [{key: api_calls, aggregation: count}]", *texts)
    found = book.plan_of("acme", NOW)
    assert found is not None
    assert (found.id, len(found.versions), len(texts)) == ("team", 2, 2)
    named = re.findall(r"^\| `(plan-[a-z-]+)` \| `([a-z-]+)`", page, re.MULTILINE)
    assert dict(named) == {str(name): str(name).removeprefix("plan-") for name in Default if name.startswith("plan-")}
