"""Storage as readings, with values alone: places, units, instants, and who gets a reading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.storage.cron import latest, trigger
from meterline_api.storage.errors import NothingFoundError
from meterline_api.storage.findings import Finding, Passed, Stored, Unmeasured
from meterline_api.storage.place import Bucket, Buckets, Folder, Place, parse
from meterline_api.storage.readings import Past, complete, plan, reading_id
from meterline_api.storage.settings import StorageSettings
from meterline_api.storage.unit import Unit, UnknownUnitError, quantity, unit_of
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.settings import load

AT = datetime(2026, 11, 21, 3, tzinfo=UTC)
_ID = "storage_f3a0680ea8b1ec493e2ea063b3e5c68f"  # of acme, at that instant


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("file:///data/tenants", Folder("/data/tenants")),
        ("file://localhost/data/a%20b/", Folder("/data/a b/")),
        ("s3://files", Bucket("files", "")),
        ("s3://files/", Bucket("files", "")),
        ("s3://files/of/tenants", Bucket("files", "of/tenants/")),
        ("s3://files-{tenant}/", Buckets("files-", "", "")),
        ("s3://{tenant}.files/up/", Buckets("", ".files", "up/")),
    ],
)
def test_a_url_names_a_place(url: str, place: Place) -> None:
    assert parse(url) == place


@pytest.mark.parametrize(
    "url",
    [
        *("tenants", "/data/tenants", "file://data/tenants", "file:relative", "http://x/y", "s3:///x", "s3://a b/"),
        *("s3://{tenant}-{tenant}/", "s3://files?x=1", "file:///a#b", "file:///a%00b", "s3://[", "s3://{tenan}/"),
    ],
)
def test_what_names_no_place_is_told_how_to_write_one(url: str) -> None:
    with pytest.raises(ValueError, match=r"file:///data/tenants|%3F|character 0"):
        parse(url)


@given(st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True), st.sampled_from(["", "a", "ab-"]))
def test_a_bucket_is_the_tenants_that_its_name_is_made_of(tenant: str, part: str) -> None:
    buckets = Buckets(part, part[::-1], "")
    assert buckets.tenant(f"{part}{tenant}{part[::-1]}") == tenant
    assert buckets.tenant(part + part[::-1]) is None
    assert Buckets("aba", "ba", "").tenant("aba") is None


@given(st.integers(0, 10**24), st.sampled_from(Unit))
def test_a_quantity_is_the_nearest_with_nine_decimals(size: int, unit: Unit) -> None:
    exact = Fraction(size, unit.bytes)
    found = Fraction(Decimal(quantity(size, unit)))
    assert abs(found - exact) <= Fraction(1, 2 * 10**9)
    assert found == round(exact * 10**9) / Fraction(10**9)  # Python rounds half to even
    if unit is not Unit.GIB:
        assert found == exact


def test_a_quantity_is_a_plain_decimal() -> None:
    assert quantity(2**30, Unit.GIB) == "1"
    assert quantity(2**20, Unit.GIB) == "0.000976562"  # ...5625: halfway, and to the even one
    assert quantity(3 * 2**20, Unit.GIB) == "0.002929688"
    assert quantity(1, Unit.GIB) == "0.000000001"
    assert quantity(45_000_000_512, Unit.GB) == "45.000000512"
    assert quantity(45_000_000_512, Unit.BYTE) == "45000000512"


@pytest.mark.parametrize(
    ("metric", "wanted", "unit"),
    [
        ("GB", None, Unit.GB),
        ("", None, Unit.GB),
        ("GiB", None, Unit.GIB),
        ("gib", Unit.GB, Unit.GB),
        ("GB", Unit.GIB, Unit.GIB),
        ("byte", Unit.GIB, Unit.BYTE),
        (" Bytes", None, Unit.BYTE),
    ],
)
def test_the_metrics_unit_decides_and_the_setting_says_what_a_gb_is(
    metric: str, wanted: Unit | None, unit: Unit
) -> None:
    assert unit_of(metric, wanted) is unit


def test_a_metric_of_something_else_counts_no_storage() -> None:
    with pytest.raises(UnknownUnitError, match=r"'order'.* byte, GB or GiB"):
        unit_of("order", None)


tenants = st.sampled_from(["acme", "globex", "initech", "umbrella"])
findings = st.lists(
    st.builds(Stored, tenants, st.integers(0, 10**15))
    | st.builds(Unmeasured, tenants, st.just("why"))
    | st.builds(Passed, tenants),
    unique_by=lambda found: found.tenant_id,
)
pasts = st.dictionaries(tenants, st.builds(Past, st.sampled_from(["0", "0.000000001", "45"]), st.booleans()))


@given(findings, pasts)
def test_who_was_measured_has_a_reading_who_vanished_has_0_and_who_failed_has_none(
    found: list[Finding], past: dict[str, Past]
) -> None:
    planned = plan(found, past, "storage", Unit.BYTE, AT, allow_empty=True)
    wanted = {one.tenant_id: one.bytes for one in found if isinstance(one, Stored)}
    failed = {one.tenant_id for one in found if isinstance(one, Unmeasured)}
    for tenant_id, one in past.items():
        if Decimal(one.level) > 0 and tenant_id not in failed and Passed(tenant_id) not in found:
            wanted.setdefault(tenant_id, 0)
        if one.done:
            wanted.pop(tenant_id, None)
    assert {one.tenant_id: one.bytes for one in planned.readings} == wanted
    assert {one.tenant_id for one in planned.failed} == failed
    assert all(one.quantity == str(one.bytes) for one in planned.readings)
    part = planned.of(["acme"])
    assert {one.tenant_id for one in part.readings} == {"acme"} & set(wanted)
    assert {one.tenant_id for one in part.failed} == {"acme"} & failed
    # once all of it is counted nothing is left to be sent, and the run is done unless somebody failed
    after = past | {
        tenant_id: Past(past[tenant_id].level if tenant_id in past else "0", True)
        for tenant_id in [*wanted, *(tenant_id for tenant_id, one in past.items() if one.done)]
    }
    assert plan(found, after, "storage", Unit.BYTE, AT, allow_empty=True).readings == []
    left = failed | {one.tenant_id for one in found if isinstance(one, Passed)}
    stuck = any(tenant_id in left and Decimal(one.level) > 0 and not one.done for tenant_id, one in past.items())
    assert complete(after) == (any(one.done for one in after.values()) and not stuck)


def test_a_storage_without_anybody_is_taken_for_one_that_is_not_mounted() -> None:
    past = {"acme": Past("1", False), "globex": Past("2", False), "initech": Past("0", False)}
    with pytest.raises(NothingFoundError, match=r"2 of them stored something.*METERLINE_STORAGE_ALLOW_EMPTY"):
        plan([], past, "storage", Unit.GB, AT)
    assert [one.bytes for one in plan([], past, "storage", Unit.GB, AT, allow_empty=True).readings] == [0, 0]
    assert [one.bytes for one in plan([Passed("globex")], past, "storage", Unit.GB, AT).readings] == [0]
    one = {"acme": Past("1", False)}  # one tenant may well have deleted all that it had
    assert [each.tenant_id for each in plan([], one, "storage", Unit.GB, AT).readings] == ["acme"]


def test_an_id_is_that_of_the_metric_the_tenant_and_the_instant() -> None:
    ids = {
        reading_id(metric, tenant, at)
        for metric in ("storage", "storag")
        for tenant in ("e", "ee", 'e","e')
        for at in (AT, AT + timedelta(milliseconds=1))
    }
    assert len(ids) == 12
    assert reading_id("storage", "acme", AT) == _ID  # another one would count twice


@pytest.mark.parametrize(
    ("schedule", "now", "grace", "instant"),
    [
        ("0 3 * * *", "2026-11-21T03:00:00", 12, "2026-11-21T03:00:00"),
        ("0 3 * * *", "2026-11-21T02:59:59.999", 12, None),
        ("0 3 * * *", "2026-11-21T02:59:59.999", 24, "2026-11-20T03:00:00"),
        ("0 3 * * *", "2026-11-21T15:00:00", 12, "2026-11-21T03:00:00"),
        ("0 3 * * *", "2026-11-21T15:00:00.001", 12, None),
        ("*/15 * * * *", "2026-11-21T10:31:17", 12, "2026-11-21T10:30:00"),
        ("0 3 * * sun", "2026-11-24T00:00:00", 100, "2026-11-22T03:00:00"),
        ("0 3 1 * *", "2026-11-24T00:00:00", 100, None),
    ],
)
def test_the_instant_that_is_due_is_the_last_one_within_the_grace(
    schedule: str, now: str, grace: int, instant: str | None
) -> None:
    found = latest(trigger(schedule), datetime.fromisoformat(now + "+00:00"), timedelta(hours=grace))
    assert found == (datetime.fromisoformat(instant + "+00:00") if instant else None)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"URL": "ftp://x/"}, "METERLINE_STORAGE_URL: .*write it like file:///data/tenants"),
        ({"SCHEDULE": "3 o'clock"}, "METERLINE_STORAGE_SCHEDULE: .*`0 3 \\* \\* \\*`: at 03:00 UTC"),
        ({"SCHEDULE": "0 3 * * 0"}, "METERLINE_STORAGE_SCHEDULE: .*mon-fri"),
        ({"SCHEDULE": "61 3 * * *"}, "METERLINE_STORAGE_SCHEDULE: .*`0 3"),
        ({"UNIT": "MB"}, "METERLINE_STORAGE_UNIT: "),
        ({"UNIT": "byte"}, "METERLINE_STORAGE_UNIT: .*the metric's unit is byte"),
        ({"GRACE": "P8D"}, "METERLINE_STORAGE_GRACE: "),
        ({"SOURCE": ""}, "METERLINE_STORAGE_SOURCE: "),
        ({"ENDPOINT": "localhost:9000"}, "METERLINE_STORAGE_ENDPOINT: "),
        ({"ACCESS_KEY": "one"}, "METERLINE_STORAGE_ACCESS_KEY and METERLINE_STORAGE_SECRET_KEY need each other"),
    ],
)
def test_a_setting_that_is_wrong_is_told_in_a_sentence(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"METERLINE_STORAGE_{name}", value)
    with pytest.raises(ConfigurationError, match=said):
        load(StorageSettings)


def test_without_a_url_nothing_is_measured() -> None:
    found: Any = load(StorageSettings)
    assert (found.configured, found.schedule, found.metric) == (False, "0 3 * * *", "storage")
