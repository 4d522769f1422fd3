"""Check ``lines``: every line that was judged has exactly one verdict, and the counts of the stream say the same."""

from __future__ import annotations

from meterline_deploy.reconcile.collect import Collected, Sources
from meterline_deploy.reconcile.kafka import Topics
from meterline_deploy.reconcile.lines import Places, Tally, Wrong, tally
from meterline_deploy.reconcile.report import Check, Difference, Fields
from meterline_deploy.reconcile.scope import ACCEPTED, EVENTS, PROGRESS_KEY, REJECTED, PartitionScope, progress_before
from meterline_deploy.reconcile.shapes import EVENTS as EVENT_ROWS
from meterline_deploy.reconcile.shapes import REJECTS as REJECT_ROWS
from meterline_deploy.reconcile.shapes import Shape

_SHOWN = 300  # characters of a line


def new_check() -> Check:
    return Check("lines", "each judged line of usage.events = one verdict: accepted, rejected or forwarded", "lines")


def check_partition(
    check: Check,
    scope: PartitionScope,
    sources: Sources,
    accepted: Collected,
    rejected: Collected,
    topics: Topics,
    limit: int,
) -> None:
    """Compare one partition."""
    partition = scope.partition
    verdicts = {"accepted": accepted.places, "rejected": rejected.places, "forwarded": sources.forwards[partition]}
    end = scope.until.next_offset
    counted = tally(sources.records[partition], verdicts, scope.lines_from, end, newest=scope.until == scope.newest)
    check.compared += counted.lines
    problems = _without_newer(counted.wrong, scope, topics)
    room = max(0, limit - len(check.differences))
    details = _Details(topics, scope, accepted, rejected)
    named = [details.difference(wrong) for wrong in problems[:room]]
    check.add(named, limit)
    check.count += len(problems) - len(named)
    check.add(accepted.unreadable + rejected.unreadable, limit)
    check.add(_counts(scope, verdicts, counted), limit)
    if scope.lines_from > scope.lines_since.next_offset or scope.lines_since.next_offset:
        check.notes.append(
            f"partition {partition}: line by line from offset {scope.lines_from:,} on; "
            f"before it the running counts say {_said(scope)}"
        )


def _without_newer(wrong: list[Wrong], scope: PartitionScope, topics: Topics) -> list[Wrong]:
    """Verdicts past the watermark are in order if they came with a checkpoint that ended in the meantime."""
    until = scope.until.next_offset
    if all(each.exists or each.offset < until for each in wrong):
        return wrong
    newest = until
    for topic in (ACCEPTED, REJECTED):
        found = progress_before(topics, topic, scope.partition, topics.bounds(topic, scope.partition)[1])
        newest = max(newest, found[1].next_offset if found else 0)
    return [each for each in wrong if each.exists or not until <= each.offset < newest]


def _said(scope: PartitionScope) -> str:
    since = scope.lines_since
    return (
        f"{since.lines:,} lines up to offset {since.next_offset:,} = {since.accepted:,} accepted + "
        f"{since.rejected:,} rejected + {since.forwarded:,} forwarded"
    )


def _counts(scope: PartitionScope, verdicts: dict[str, Places], counted: Tally) -> list[Difference]:
    """The running counts of the stream against what was counted here."""
    until, key = scope.until, {"partition": str(scope.partition), "up to offset": str(scope.until.next_offset)}
    differences = []
    total = until.accepted + until.rejected + until.forwarded
    if until.lines != total:
        differences.append(
            Difference("counts", key, {"lines": str(until.lines)}, {"accepted + rejected + forwarded": str(total)})
        )
    expected, found = {}, {}
    for kind, since in (("accepted", scope.accepted.since), ("rejected", scope.rejected.since)):
        offsets, _lines = verdicts[kind].between(since.next_offset, until.next_offset)
        expected[kind] = str(getattr(until, kind) - getattr(since, kind))
        found[kind] = str(len(offsets))
    if scope.lines_from == scope.lines_since.next_offset:
        expected["lines"] = str(until.lines - scope.lines_since.lines)
        found["lines"] = str(counted.lines)
        expected["forwarded"] = str(until.forwarded - scope.lines_since.forwarded)
        found["forwarded"] = str(counted.verdicts["forwarded"])
    if expected != found:
        detail = "expected is what the newest progress record counts, found is what lies in the topics"
        differences.append(Difference("counts", key, expected, found, detail))
    return differences


class _Details:
    """Names lines: reads the one record of each again."""

    def __init__(self, topics: Topics, scope: PartitionScope, accepted: Collected, rejected: Collected) -> None:
        self._topics = topics
        self._scope = scope
        self._verdicts = ((EVENT_ROWS, accepted), (REJECT_ROWS, rejected))

    def difference(self, wrong: Wrong) -> Difference:
        key = {"partition": str(self._scope.partition), "offset": str(wrong.offset), "line": str(wrong.line)}
        text = self._line(wrong) if wrong.exists else ""
        if not wrong.verdicts:
            return Difference("no verdict", key, {"verdicts": "1"}, {"verdicts": "0"}, f"the line: {text}")
        found = {"verdicts": str(len(wrong.verdicts)), "which": " + ".join(wrong.verdicts)}
        detail = "; ".join(self._rows(wrong))
        if not wrong.exists:
            return Difference("verdict on no line", key, None, found, detail)
        return Difference("several verdicts", key, {"verdicts": "1"}, found, detail or f"the line: {text}")

    def _line(self, wrong: Wrong) -> str:
        for message in self._topics.read(EVENTS, self._scope.partition, wrong.offset, wrong.offset + 1):
            lines = [line for line in (message.value or b"").split(b"\n") if line.strip()]
            if wrong.line < len(lines):
                return lines[wrong.line].decode(errors="replace")[:_SHOWN]
        return "(gone)"

    def _rows(self, wrong: Wrong) -> list[str]:
        """The verdicts on a line, with their amounts."""
        said = []
        for shape, collected in self._verdicts:
            for fields in self._read(shape, collected, wrong):
                words = ", ".join(f"{name} {value}" for name, value in fields.items() if value)
                said.append(f"{shape.topic}: {words}")
        return said

    def _read(self, shape: Shape, collected: Collected, wrong: Wrong) -> list[Fields]:
        found: list[Fields] = []
        start, end = collected.spans.get(collected.slices.of(wrong.offset), (0, 0))
        for message in self._topics.read(shape.topic, self._scope.partition, start, end):
            if message.key != PROGRESS_KEY and message.value and str(wrong.offset).encode() in message.value:
                for row in shape.read(message.value):
                    if row.offset == wrong.offset and row.line <= wrong.line < row.line + row.lines:
                        key = shape.key_of(row.texts)
                        found.append({**shape.key_fields(key), **shape.fields(row.texts)})
        return found
