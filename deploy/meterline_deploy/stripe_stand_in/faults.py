"""Faults by order or by chance: which request fails, and how. Pure but for the seeded generator."""

from __future__ import annotations

import random
from typing import Annotated, Final, Literal, get_args

import msgspec

Kind = Literal[
    "before", "after", "timeout_before", "timeout_after", "drop_before", "drop", "late", "429", "lock", "duplicate"
]
KINDS: Final = get_args(Kind)
EDGE: Final = frozenset({"before", "timeout_before", "drop_before", "429", "lock"})
"""These apply nothing."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Strikes requests whose path begins with ``path``, every ``every``-th of them, ``times`` times (always if None).

    ``before``: answered 500, not applied. ``after``: applied, then answered 500. ``timeout_before``/``timeout_after``:
    not applied/applied, then silent for ``seconds``. ``drop_before``/``drop``: not applied/applied, then the
    connection ends. ``late``: applied after ``seconds``, whether or not the caller waits. ``429``: rate limit.
    ``lock``: as if another call held the object. ``duplicate``: a meter event applied, then answered as a duplicate.
    ``saved``: with ``before`` and ``after``: the 500 is the answer kept under the idempotency key.
    """

    kind: Kind
    path: str = "/v"
    method: str | None = None
    times: Annotated[int, msgspec.Meta(ge=1)] | None = 1
    every: Annotated[int, msgspec.Meta(ge=1)] = 1
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 600
    saved: bool = False


class Chance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By chance, from ``seed`` on the same in every run: ``chances`` is how likely each kind is, together at most 1."""

    seed: int
    chances: dict[Kind, Annotated[float, msgspec.Meta(ge=0, le=1)]]
    path: str = "/v"
    method: str | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 600


class Faults:
    """Ordered faults go first, in their order. Those that are used up are forgotten."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._rules: list[tuple[Fault, dict[str, int]]] = []
        self._chance: tuple[Chance, random.Random] | None = None
        self.struck: dict[str, int] = dict.fromkeys(KINDS, 0)

    def add(self, fault: Fault) -> None:
        self._rules.append((fault, {"seen": 0, "struck": 0}))

    def by_chance(self, chance: Chance) -> None:
        """Raises ValueError: the chances are together more than 1."""
        if sum(chance.chances.values()) > 1:
            raise ValueError("chances must be together at most 1")
        self._chance = chance, random.Random(chance.seed)

    def next(self, method: str, path: str) -> Fault | None:
        found = self._by_order(method, path) or self._by_chance(method, path)
        if found:
            self.struck[found.kind] += 1
        return found

    def _by_order(self, method: str, path: str) -> Fault | None:
        for fault, count in self._rules:
            if not path.startswith(fault.path) or fault.method not in (None, method):
                continue
            count["seen"] += 1
            if count["seen"] % fault.every == 0:
                count["struck"] += 1
                if count["struck"] == fault.times:
                    self._rules = [each for each in self._rules if each[0] is not fault]
                return fault
        return None

    def _by_chance(self, method: str, path: str) -> Fault | None:
        if self._chance is None:
            return None
        chance, generator = self._chance
        if not path.startswith(chance.path) or chance.method not in (None, method):
            return None
        drawn = generator.random()
        for kind, probability in chance.chances.items():
            drawn -= probability
            if drawn < 0:
                return Fault(kind, seconds=chance.seconds)
        return None
