"""Entries of the catalog in a YAML file: every mistake of the file is found at once, with its line.

metrics:
  - key: api_calls
    unit: call
quotas:
  - metric: api_calls        # of every tenant that has none of its own
    included: 10000
thresholds:
  - id: api-calls
    metric: api_calls        # at 80 and 100 % of the quota
tenants:
  - id: acme
    time_zone: Europe/Vienna
webhooks:
  - id: ops
    url: https://example.com/hooks/meterline
    secret: ${OPS_WEBHOOK_SECRET}
plans:
  - id: team
    currency: USD
    versions:
      - base_fee: 199
        charges:
          - metric: api_calls
            price: {model: per_unit, unit_price: 0.01, per: 1000}
tenant_plans:
  - tenant_id: acme
    spans:
      - {start: 2026-11-01T00:00:00Z, plan: team}
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from meterline_deploy.errors import CatalogFileError
from meterline_deploy.yaml_fields import Problem, fields_of, line_of, name_of, read_fields
from meterline_schemas.catalog import (
    Entry,
    Metric,
    Plan,
    Quota,
    RefusedError,
    Tenant,
    TenantPlan,
    Threshold,
    Webhook,
    read_entry,
)
from meterline_schemas.catalog.entry import FieldProblem

# in an order in which each may refer to those before it
LISTS: Final[Mapping[str, type[Entry]]] = {
    "metrics": Metric,
    "tenants": Tenant,
    "webhooks": Webhook,
    "quotas": Quota,
    "thresholds": Threshold,
    "plans": Plan,
    "tenant_plans": TenantPlan,
}
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)


@dataclass(frozen=True)
class Written:
    """An entry as it stands in a file: ``number`` counts those of its kind from 1."""

    entry: Entry
    number: int
    node: yaml.Node

    def problem(self, found: FieldProblem) -> Problem:
        """What is wrong with one of its fields, with the line of that."""
        return _problem(type(self.entry), self.number, self.node, found)


def load_catalog(path: Path) -> list[Written]:
    """The entries that a file defines, each after those that it may refer to.

    Raises:
        CatalogFileError: with every mistake in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogFileError(path, [f"cannot be read: {getattr(error, 'strerror', None) or error}"]) from None
    entries, problems = parse(text, os.environ)
    if problems:
        raise CatalogFileError(path, map(str, problems))
    return entries


def parse(text: str, variables: Mapping[str, str] | None = None) -> tuple[list[Written], list[Problem]]:
    """The entries of a file's text, and every mistake in it. ``variables``: what ``${NAME}`` as a secret stands for."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        return [], [Problem(mark.line + 1 if mark else 1, f"not YAML: {what}")]
    except RecursionError:
        return [], [Problem(1, "nested too deeply to be a catalog")]
    lists, problems = _lists(root)
    entries: list[Written] = []
    for name, kind in LISTS.items():
        lines: dict[str, int] = {}
        for number, node in enumerate(lists.get(name, ()), 1):
            entry, wrong = _entry(kind, number, node, variables or {})
            problems += wrong
            if entry is None:
                continue
            line = line_of(node)
            if entry.identity in lines:
                what = f"{_label(kind, number)}: {_twice(entry)} on line {lines[entry.identity]} already"
                problems.append(Problem(line, what))
            else:
                lines[entry.identity] = line
                entries.append(Written(entry, number, node))
    return entries, sorted(problems, key=lambda problem: problem.line)


def _lists(root: yaml.Node | None) -> tuple[dict[str, list[yaml.Node]], list[Problem]]:
    """The lists of a file, by name."""
    names = ", ".join(f"`{name}:`" for name in LISTS)
    if not isinstance(root, yaml.MappingNode):
        return {}, [Problem(1, f"the file must hold one or more of {names}, each with a list below it")]
    problems: list[Problem] = []
    found: dict[str, list[yaml.Node]] = {}
    for key, value in root.value:
        name = name_of(key)
        if name not in LISTS:
            problems.append(Problem(line_of(key), f"{name!r} is not known here; {names} are"))
        elif name in found:
            problems.append(Problem(line_of(key), f"`{name}:` stands twice; put both lists into one"))
        elif not isinstance(value, yaml.SequenceNode) or not value.value:
            problems.append(Problem(line_of(key), f"`{name}:` must hold a list with at least one {LISTS[name].kind}"))
        else:
            found[name] = list(value.value)
    if not found and not problems:
        problems.append(Problem(1, f"the file must hold one or more of {names}"))
    return found, problems


def _entry(
    kind: type[Entry], number: int, node: yaml.Node, variables: Mapping[str, str]
) -> tuple[Entry | None, list[Problem]]:
    label = _label(kind, number)
    if not isinstance(node, yaml.MappingNode):
        first = next(iter(fields_of(kind)))
        what = f"must be fields ({', '.join(fields_of(kind))}), as in `- {first}: …`"
        return None, [Problem(line_of(node), f"{label}: {what}")]
    values: dict[str, Any] = {}
    wrong = list(read_fields(kind, node, values.__setitem__))
    problems = [Problem(problem.line, f"{label}: {problem.what}") for _field, problem in wrong]
    problems += [_problem(kind, number, node, each) for each in _from_environment(kind, values, variables)]
    try:
        entry = read_entry(kind, values)
    except RefusedError as refused:
        # what could not be read is missing too: it is told once
        told = {*(field for field, _problem in wrong), *(name for name, value in values.items() if value is None)}
        problems += [_problem(kind, number, node, each) for each in refused.problems if each.field not in told]
        return None, problems
    return (None, problems) if problems else (entry, [])


def _from_environment(
    kind: type[Entry], values: dict[str, Any], variables: Mapping[str, str]
) -> Iterator[FieldProblem]:
    """Put in the secret that the file names: a file of the catalog may then be shown to everybody."""
    text = values.get("secret") if kind is Webhook else None
    named = _VARIABLE.fullmatch(text) if isinstance(text, str) else None
    if named is not None:
        values["secret"] = variables.get(named[1])
        if values["secret"] is None:
            yield FieldProblem("secret", f"{text}: the environment has no variable {named[1]}; set it")


def _problem(kind: type[Entry], number: int, node: yaml.Node, found: FieldProblem) -> Problem:
    field = f"`{found.field}`: " if found.field else ""
    return Problem(line_of(node, found.field), f"{_label(kind, number)}: {field}{found.detail}")


def _label(kind: type[Entry], number: int) -> str:
    return f"{kind.kind} {number}"


def _twice(entry: Entry) -> str:
    """How an entry is called that is in a file a second time."""
    match entry:
        case Quota():
            whose = f"tenant {entry.tenant_id!r}" if entry.tenant_id else "all tenants"
            whose += f", subject {entry.subject!r}" if entry.subject else ""
            return f"a quota of {entry.metric} for {whose} is defined"
        case TenantPlan():
            return f"the plans of tenant {entry.tenant_id!r} are given"
        case _:
            return f"{'key' if isinstance(entry, Metric) else 'id'} {entry.identity!r} is defined"
