"""A worker whose checkpoints are no transactions: what the fault tests must catch."""

from __future__ import annotations

import sys
from typing import Any

import confluent_kafka

from meterline_streams import __main__, partition


class _PlainProducer(confluent_kafka.Producer):  # type: ignore[misc]
    def __new__(cls, config: dict[str, Any]) -> Any:
        return super().__new__(cls, _plain(config))

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(_plain(config))

    def init_transactions(self, *_args: Any) -> None:
        """Fences nobody."""

    def begin_transaction(self, *_args: Any) -> None:
        """Begins nothing."""

    def commit_transaction(self, *_args: Any) -> None:
        self.flush()


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in config.items() if not key.startswith("transaction")}
    return {**plain, "enable.idempotence": True}


partition.Producer = _PlainProducer  # type: ignore[attr-defined]

if __name__ == "__main__":
    sys.exit(__main__.main())
