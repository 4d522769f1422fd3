"""Waiting until ClickHouse holds what somebody has sent: reading one's own writes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from meterline_api.clickhouse import ClickHouse
from meterline_api.problems import Code, Problem
from meterline_schemas.errors import UnavailableError

PATTERN: Final = r"^[0-9]{1,5}:[0-9]{1,18}(,[0-9]{1,5}:[0-9]{1,18}){0,63}$"
PATIENCE: Final = 3.0  # seconds; a sink that is well is behind by less
_LOOK_EVERY: Final = 0.05
_COMPLETE: Final = "SELECT kafka_partition, complete_to_offset FROM usage_freshness"
_form: Final = re.compile(PATTERN, re.ASCII)


def read_offsets(text: str) -> dict[int, int]:
    """``<partition>:<offset>[,…]``, of one partition the greatest.

    Raises:
        ValueError: it is none.
    """
    if not _form.match(text) or text.endswith("\n"):
        raise ValueError("must be <partition>:<offset>, several separated by commas, such as 0:1201,3:77")
    found: dict[int, int] = {}
    for piece in text.split(","):
        partition, offset = map(int, piece.split(":"))
        found[partition] = max(offset, found.get(partition, 0))
    return found


async def wait_until_complete(clickhouse: ClickHouse, offsets: Mapping[int, int], seconds: float = PATIENCE) -> None:
    """Return once every event before these offsets of ``usage.events`` is in what usage is answered from.

    Raises:
        Problem: 503 ``not_ready``, it is not within ``seconds``; or ClickHouse does not answer.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            rows = await clickhouse.rows(_COMPLETE, {})
            complete = {int(partition): int(offset) for partition, offset in rows}
        except UnavailableError as error:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers={"Retry-After": "5"}
            ) from None
        missing = [partition for partition, offset in offsets.items() if complete.get(partition, 0) < offset]
        if not missing:
            return
        if time.monotonic() >= deadline:
            partition = min(missing)
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                Code.NOT_READY,
                f"of partition {partition} usage is complete up to offset {complete.get(partition, 0)}, and "
                f"{offsets[partition]} is asked for; try again in a moment",
                headers={"Retry-After": "1"},
            )
        await asyncio.sleep(_LOOK_EVERY)
