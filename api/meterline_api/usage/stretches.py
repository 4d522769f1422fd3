"""A cut as SQL: which window an instant lies in, and the windows that a span of time touches. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from meterline_api.usage.windows import Cut


@dataclass(frozen=True)
class Stretch:
    """``tag`` tells its parameters from those of others in the statement.

    ``shown_from`` is set for previous windows: each then stands for the window that follows it, none of which begins
    before that second.
    """

    cut: Cut
    tag: str
    shown_from: int | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        tag, cut = self.tag, self.cut
        found: dict[str, Any] = {f"start_{tag}": cut.start, f"end_{tag}": cut.end}
        if self.shown_from is not None:
            found[f"shown_{tag}"] = self.shown_from
        if isinstance(cut.edges, range):
            if self.is_one:
                return found
            return found | {f"first_{tag}": cut.edges[0], f"step_{tag}": cut.edges.step}
        return found | {f"runs_{tag}": cut.runs}

    @property
    def is_one(self) -> bool:
        """Whether it is a single window."""
        return len(self.cut.edges) == 2

    def within(self, time: str) -> str:
        """Whether an instant lies in it."""
        start, end = self._of("start", "UInt32"), self._of("end", "UInt32")
        return f"{time} >= toDateTime({start}, 'UTC') AND {time} < toDateTime({end}, 'UTC')"

    def window(self, time: str) -> str:
        """Where the window of an instant begins, in seconds."""
        if self.is_one:
            return f"toUInt32({self._of('start' if self.shown_from is None else 'shown')})"
        second = f"toInt64(toUnixTimestamp({time}))"
        if isinstance(self.cut.edges, range):
            first, step = self._of("first"), self._of("step")
            number = f"intDiv({second} - {first}, {step})"
            found = f"{first} + ({number}{'' if self.shown_from is None else ' + 1'}) * {step}"
        elif self.shown_from is None:
            found = f"roundDown({second}, {self._edges})"
        else:
            found = f"transform(roundDown({second}, {self._edges}), {self._begins}, arrayPopFront({self._edges}), 0)"
        return f"toUInt32({self._shown(found)})"

    def spanned(self, first: str, last: str) -> str:
        """Of two instants in seconds: ``(begin, end, shown begin)`` of every window from the one's to the other's."""
        if self.is_one:
            start, end = self._of("start"), self._of("end")
            return f"[({start}, {end}, {start if self.shown_from is None else self._of('shown')})]"
        if isinstance(self.cut.edges, range):
            begin, step = self._of("first"), self._of("step")
            places = f"range(intDiv({first} - {begin}, {step}), intDiv({last} - {begin}, {step}) + 1)"
            whole = f"arrayMap(n -> ({begin} + n * {step}, {begin} + (n + 1) * {step}), {places})"
        else:
            places = f"arrayEnumerate({self._begins})"
            low, high = (
                f"transform(roundDown({instant}, {self._edges}), {self._begins}, {places}, 0)"
                for instant in (first, last)
            )
            whole = f"arraySlice(arrayZip({self._begins}, arrayPopFront({self._edges})), {low}, {high} - {low} + 1)"
        shown = self._shown("w.1" if self.shown_from is None else "w.2")
        return f"arrayMap(w -> (greatest(w.1, {self._of('start')}), w.2, {shown}), {whole})"

    def _shown(self, begin: str) -> str:
        return f"greatest({begin}, {self._of('start' if self.shown_from is None else 'shown')})"

    @property
    def _edges(self) -> str:
        runs = self._of("runs", "Array(Tuple(Int64, Int64, Int64))")
        return f"arrayFlatten(arrayMap(r -> range(r.1, r.1 + r.2 * r.3, r.2), {runs}))"

    @property
    def _begins(self) -> str:
        return f"arrayPopBack({self._edges})"

    def _of(self, name: str, type: str = "Int64") -> str:
        return f"{{{name}_{self.tag}:{type}}}"
