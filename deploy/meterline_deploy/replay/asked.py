"""Which rejected lines are judged again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from meterline_deploy.reconcile.times import ALL_TIME, Period
from meterline_deploy.reconcile.warehouse import text, texts
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.reject import Reason
from meterline_schemas.replaying import DEFAULT_REASONS, REFUSED
from meterline_schemas.topics import EVENTS


@dataclass(frozen=True)
class Asked:
    """``period`` is of when the broker received the lines; ``limit`` of how many are sent."""

    reasons: tuple[Reason, ...] = DEFAULT_REASONS
    metrics: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    period: Period = ALL_TIME
    limit: int | None = None

    def condition(self) -> str:
        """As ClickHouse takes it in WHERE."""
        return " AND ".join(self._conditions())

    def _conditions(self) -> Iterator[str]:
        yield f"kafka_topic = {text(EVENTS)}"
        yield f"reason IN {texts(self.reasons)}"
        if self.metrics:
            yield f"metric IN {texts(self.metrics)}"
        if self.tenants:
            yield f"tenant_id IN {texts(self.tenants)}"
        for moment, operator in ((self.period.start, ">="), (self.period.end, "<")):
            if moment is not None:
                yield f"received_at {operator} fromUnixTimestamp64Milli({int(moment.timestamp() * 1000)}, 'UTC')"


def read_reasons(given: Iterable[str]) -> tuple[Reason, ...]:
    """The reasons that ``--reason`` names, or those by default.

    Raises:
        ConfigurationError: one is unknown, or judging its lines again can change nothing.
    """
    known = ", ".join(reason for reason in Reason if reason not in REFUSED)
    found: list[Reason] = []
    for name in given:
        try:
            reason = Reason(name.lower())
        except ValueError:
            raise ConfigurationError(f"--reason {name!r} is not known; choose of {known}") from None
        if reason in REFUSED:
            raise ConfigurationError(f"--reason {reason} cannot be replayed: {REFUSED[reason]}; choose of {known}")
        found.append(reason)
    return tuple(found) or DEFAULT_REASONS
