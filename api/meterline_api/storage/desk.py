"""Where storage is measured: once for an instant, whoever asks, and counted through the same door as all events.

A run for an instant:

1. the metric must be there and be a gauge of bytes
2. ClickHouse says which readings there are: who stored something before, and who has a reading for the instant already
3. the provider measures every tenant, in a thread
4. the readings are sent, and the run is done once Kafka has all of them

Every step may be repeated at any time, by any process: a reading's id and timestamp are those of the instant.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus

import msgspec

from meterline_api import metrics
from meterline_api.door import Admitted, Refused, judge
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_api.storage.errors import MetricError, NothingFoundError
from meterline_api.storage.findings import Finding, Provider, Stored, Unmeasured
from meterline_api.storage.past import past_of
from meterline_api.storage.readings import Reading, complete, plan
from meterline_api.storage.settings import StorageSettings
from meterline_api.storage.thread import in_thread
from meterline_api.storage.unit import Unit, UnknownUnitError, unit_of
from meterline_api.submissions import Submission
from meterline_schemas.catalog import Aggregation
from meterline_schemas.errors import MeterlineError, PartitionCountError, UnavailableError

log = logging.getLogger(__name__)

_TOLD = 20  # tenants that the log names


@dataclass(frozen=True)
class Measured:
    """What a run came to. ``tenants`` were measured, in order; a reading of each was sent, unless it is a dry run.

    ``errors`` says of each tenant that was not counted why; ``failed`` is how many these are.
    """

    at: datetime
    metric: str
    unit: Unit
    tenants: list[Reading]
    errors: list[Unmeasured] = field(default_factory=list)

    @property
    def measured(self) -> int:
        return len(self.tenants)

    @property
    def failed(self) -> int:
        return len(self.errors)


class Desk:
    """Runs one after the other."""

    def __init__(self, settings: StorageSettings, provider: Provider, service: Service) -> None:
        self.settings = settings
        self._provider = provider
        self._service = service
        self._turn = asyncio.Lock()

    async def run(
        self, at: datetime, *, tenants: Sequence[str] | None = None, dry: bool = False, again: bool = True
    ) -> Measured | None:
        """Measure for an instant, and count it. ``tenants`` are the only ones to be counted.

        None: the run was done before, and is not done ``again``.

        Raises:
            MetricError: there is no metric to count it by.
            NothingFoundError: the storage seems not to be there.
            UnavailableError: the storage, ClickHouse or Kafka does not answer. What was sent counts once.
        """
        at = at.astimezone(UTC)
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        async with self._turn:
            unit = self._unit()
            past = await past_of(self._service.clickhouse, self.settings.metric, self.settings.source, at)
            if not again and complete(past):
                return None
            findings: list[Finding] = await in_thread(lambda: list(self._provider.measure(tenants)))
            planned = plan(findings, past, self.settings.metric, unit, at, allow_empty=self.settings.allow_empty).of(
                tenants
            )
            measured = Measured(at, self.settings.metric, unit, planned.readings, planned.failed)
            if dry:
                return measured
            if tenants is None:
                metrics.STORAGE_BYTES.set(sum(found.bytes for found in findings if isinstance(found, Stored)))
            return await self._count(measured)

    def _unit(self) -> Unit:
        key = self.settings.metric
        metric = self._service.catalog.metric(key)
        if metric is None:
            raise MetricError(key, "is not defined: define it with aggregation time_weighted and unit GB")
        if metric.aggregation is not Aggregation.TIME_WEIGHTED:
            raise MetricError(key, f"is a {metric.aggregation}: only a time_weighted one counts how long it is stored")
        if metric.tenant_id:
            raise MetricError(key, f"belongs to tenant {metric.tenant_id!r} alone")
        try:
            return unit_of(metric.unit, self.settings.unit)
        except UnknownUnitError as error:
            raise MetricError(key, f"cannot count storage: {error}") from None

    async def _count(self, measured: Measured) -> Measured:
        """Send the readings; those that can never count are failures."""
        service, now = self._service, datetime.now(UTC)
        submissions = [_submission(reading, measured, self.settings.source) for reading in measured.tenants]
        verdicts = judge(submissions, None, now, service.window)
        refused = [
            Unmeasured(reading.tenant_id, verdict.detail)
            for reading, verdict in zip(measured.tenants, verdicts, strict=True)
            if isinstance(verdict, Refused)
        ]
        lines = [verdict.line for verdict in verdicts if isinstance(verdict, Admitted)]
        if lines and not all(await service.send(lines)):
            raise UnavailableError("Kafka did not acknowledge all readings in time; those that it has count once")
        never = {one.tenant_id for one in refused}
        done = replace(
            measured,
            tenants=[reading for reading in measured.tenants if reading.tenant_id not in never],
            errors=sorted([*measured.errors, *refused], key=lambda one: one.tenant_id),
        )
        metrics.STORAGE_READINGS.labels("measured").inc(done.measured)
        metrics.STORAGE_READINGS.labels("failed").inc(done.failed)
        for one in done.errors[:_TOLD]:
            log.warning("storage of tenant %r was not counted: %s", one.tenant_id, one.why)
        return done


def _submission(reading: Reading, measured: Measured, source: str) -> Submission:
    quantity = msgspec.Raw(msgspec.json.encode(reading.quantity))
    return Submission(reading.tenant_id, measured.metric, quantity, reading.id, measured.at, None, source)


async def measure_now(
    desk: Desk | None, *, tenants: Sequence[str] | None = None, dry: bool = False, now: datetime | None = None
) -> Measured:
    """A measure for this moment, of ``tenants`` or of all. ``desk`` is ``app.state.storage``.

    Raises:
        Problem: 409, storage is not configured or cannot be counted as it is; 503, something does not answer.
    """
    if desk is None:
        raise Problem(
            HTTPStatus.CONFLICT,
            Code.CONFLICT,
            "the server measures no storage: set METERLINE_STORAGE_URL of the API to where tenants' data lies",
        )
    try:
        measured = await desk.run(now or datetime.now(UTC), tenants=tenants, dry=dry)
    except (MetricError, NothingFoundError, PartitionCountError) as error:
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, str(error)) from None
    except MeterlineError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.NOT_READY, str(error), headers={"Retry-After": "5"}
        ) from None
    assert measured is not None  # noqa: S101 - it is done again
    return measured
