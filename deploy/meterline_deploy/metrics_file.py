"""Metric definitions in a YAML file: every mistake of the file is found at once, with its line.

metrics:
  - key: api_calls
    name: API calls
    unit: call
    aggregation: sum        # count, sum, min, max or last; sum by default
    allow_negative: false
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from meterline_deploy.errors import MetricsFileError
from meterline_schemas.catalog import Aggregation, Metric

FIELDS: Final[dict[str, type]] = {"key": str, "name": str, "unit": str, "aggregation": str, "allow_negative": bool}
_WORDS: Final = {str: "text", bool: "true or false"}
_AGGREGATIONS: Final = ", ".join(Aggregation)


@dataclass(frozen=True)
class Problem:
    """A mistake; ``line`` counts from 1."""

    line: int
    what: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}"


def load_metrics(path: Path) -> list[Metric]:
    """The metrics that a file defines.

    Raises:
        MetricsFileError: with every mistake in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MetricsFileError(path, [f"cannot be read: {getattr(error, 'strerror', None) or error}"]) from None
    metrics, problems = parse(text)
    if problems:
        raise MetricsFileError(path, [str(problem) for problem in problems])
    return metrics


def parse(text: str) -> tuple[list[Metric], list[Problem]]:
    """The metrics of a file's text, and every mistake in it."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        return [], [Problem(mark.line + 1 if mark else 1, f"not YAML: {what}")]
    except RecursionError:
        return [], [Problem(1, "nested too deeply to be a list of metrics")]
    entries, problems = _entries(root)
    metrics: list[Metric] = []
    first_line: dict[str, int] = {}
    for number, entry in enumerate(entries, 1):
        metric, wrong = _metric(entry)
        problems += [Problem(problem.line, f"entry {number}: {problem.what}") for problem in wrong]
        if metric is None:
            continue
        line = _line(entry)
        if metric.key in first_line:
            problems.append(
                Problem(line, f"entry {number}: key {metric.key!r} is defined on line {first_line[metric.key]} already")
            )
        else:
            first_line[metric.key] = line
            metrics.append(metric)
    return metrics, sorted(problems, key=lambda problem: problem.line)


def _entries(root: yaml.Node | None) -> tuple[list[yaml.Node], list[Problem]]:
    """The list below ``metrics:``."""
    if not isinstance(root, yaml.MappingNode):
        return [], [Problem(1, "the file must hold `metrics:` with a list of metrics below it")]
    problems = []
    found: yaml.Node | None = None
    for key, value in root.value:
        if key.value == "metrics" and found is None:
            found = value
        else:
            problems.append(Problem(_line(key), f"{key.value!r} is not known here; only one `metrics:` is"))
    if not isinstance(found, yaml.SequenceNode) or not found.value:
        line = _line(found) if found is not None else 1
        problems.append(Problem(line, "`metrics:` must hold a list with at least one metric"))
        return [], problems
    return list(found.value), problems


def _metric(entry: yaml.Node) -> tuple[Metric | None, list[Problem]]:
    if not isinstance(entry, yaml.MappingNode):
        return None, [Problem(_line(entry), f"must be fields ({', '.join(FIELDS)}), as in `- key: api_calls`")]
    values: dict[str, Any] = {}
    problems = list(_read_fields(entry, values))
    if "key" not in values and not any("`key`" in problem.what for problem in problems):
        problems.append(Problem(_line(entry), "`key` is missing"))
    if "aggregation" in values and values["aggregation"] not in list(Aggregation):
        problems.append(
            Problem(
                _line(entry, "aggregation"),
                f"`aggregation` is {values['aggregation']!r}; choose one of {_AGGREGATIONS}",
            )
        )
    elif "aggregation" in values:
        values["aggregation"] = Aggregation(values["aggregation"])
    if "key" in values:
        try:
            Metric(key=values["key"])
        except ValueError as error:
            problems.append(Problem(_line(entry, "key"), str(error)))
    return (None, problems) if problems else (Metric(**values), [])


def _read_fields(entry: yaml.MappingNode, values: dict[str, Any]) -> Iterator[Problem]:
    for key, node in entry.value:
        name = str(key.value)
        kind = FIELDS.get(name)
        if kind is None:
            yield Problem(_line(key), f"`{name}` is not known; fields are {', '.join(FIELDS)}")
        elif name in values:
            yield Problem(_line(key), f"`{name}` stands twice")
        else:
            value = _value(node)
            if isinstance(value, kind):
                values[name] = value
            else:
                quotes = "; put it in quotes" if kind is str and isinstance(node, yaml.ScalarNode) else ""
                yield Problem(_line(node), f"`{name}` must be {_WORDS[kind]}{quotes}")


def _value(node: yaml.Node) -> Any:
    """What YAML makes of a value; None for what it cannot make anything of."""
    try:
        return yaml.SafeLoader("").construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError, LookupError, RecursionError):
        return None


def _line(node: yaml.Node, field: str | None = None) -> int:
    """The line of a node, or of one of its fields."""
    if field is not None:
        for key, value in node.value:
            if key.value == field:
                return _line(value)
    return int(node.start_mark.line) + 1
