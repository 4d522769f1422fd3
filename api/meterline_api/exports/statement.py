"""Exports as SQL: a selection and the last row's key in, statements with parameters out. Pure.

A page is read in the order of the table's key from the key after the last one, so that it costs as much at the end as
at the start. The key is compared column by column: of a comparison of tuples ClickHouse uses no index.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from meterline_api.exports.folds import OF_EVENTS, OF_PARTS, VALUE
from meterline_api.exports.selection import LAST_MS, Key, Positions, Selection
from meterline_api.exports.tables import Table
from meterline_api.formats.table import Column, Format, Kind
from meterline_api.usage.query import Window

_TYPES: Final = {Kind.TEXT: "String", Kind.INTEGER: "Int64", Kind.INSTANT: "Int64"}
_STARTS: Final = {
    Window.HOUR: "toStartOfHour({0}, 'UTC')",
    Window.DAY: "toStartOfDay({0}, 'UTC')",
    Window.MONTH: "toDateTime(toStartOfMonth({0}, 'UTC'), 'UTC')",
}
_NEXT: Final = {Window.HOUR: "addHours({0}, 1)", Window.DAY: "addDays({0}, 1)", Window.MONTH: "addMonths({0}, 1)"}
# of the key that a page of usage follows
_PAIR: Final = ("{after_0:String}", "{after_1:String}")
_HOUR: Final = "toDateTime(intDiv(least({after_2:Int64}, 4294967295000), 1000), 'UTC')"


class Statement(NamedTuple):
    sql: str
    parameters: dict[str, Any]


def texts(selection: Selection, after: Key | None, until: Key | None, rows: int, format: Format) -> Statement:
    """Columns: the text of a row, the hash of what it holds, and its key, instants in milliseconds."""
    table = selection.table
    inner, parameters = page(selection, after, until, rows)
    keys = ", ".join(_key_value(name, kind) for name, kind in zip(table.key, table.key_kinds, strict=True))
    return Statement(
        f"SELECT {_text(table, format)} AS text, {_hash(table)} AS h, {keys} FROM ({inner}) AS r", parameters
    )


def typed(selection: Selection, after: Key | None, until: Key | None, rows: int) -> Statement:
    """Columns: those of the table as what they are, and the hash, which is named ``h``."""
    inner, parameters = page(selection, after, until, rows)
    columns = ", ".join(_typed(column) for column in selection.table.columns)
    return Statement(f"SELECT {columns}, {_hash(selection.table)} AS h FROM ({inner}) AS r", parameters)


def sums(selection: Selection, after: Key | None, until: Key | None, rows: int, format: Format) -> Statement:
    """One row: count, sum and xor of the hashes, length of all texts, of the longest, and the greatest key."""
    table = selection.table
    inner, parameters = page(selection, after, until, rows)
    keys = ", ".join(_key_value(name, kind) for name, kind in zip(table.key, table.key_kinds, strict=True))
    return Statement(
        f"SELECT count(), sum(h), groupBitXor(h), sum(size), max(size), max(k) FROM (SELECT length("
        f"{_text(table, format)}) AS size, {_hash(table)} AS h, tuple({keys}) AS k FROM ({inner}) AS r)",
        parameters,
    )


def bound(selection: Selection, after: Key | None, rows: int) -> Statement | None:
    """The tenant and metric of about the last row that a page needs to look at; None: a page needs no bound.

    Usage is folded before it is ordered: without a bound every page would fold all that is left.
    """
    if selection.table.source != "usage_parts":
        return None
    parameters = _ranges(selection)
    where = _where(selection, parameters, "u.hour")
    if after is not None:
        where += " AND " + _after(["u.tenant_id", "u.metric", "u.hour"], [*_PAIR, _HOUR])
        parameters |= {f"after_{n}": value for n, value in enumerate(after)}
    sql = (
        f"SELECT u.tenant_id, toString(u.metric) FROM usage_totals AS u WHERE {where} "
        "ORDER BY u.tenant_id, u.metric, u.hour LIMIT 1 OFFSET {rows:UInt32}"
    )
    return Statement(sql, {**parameters, "rows": rows})


def past(pair: Key) -> Key:
    """The key after all rows of a tenant and metric."""
    return (*pair, LAST_MS)


def positions(selection: Selection) -> Statement:
    """The last offset of each partition that the selection has a row of."""
    parameters = _ranges(selection)
    where = _where(selection, parameters, f"u.{selection.table.moment}")
    sql = (
        f"SELECT u.kafka_partition, max(u.kafka_offset) FROM {selection.table.source} AS u WHERE {where} "
        "GROUP BY u.kafka_partition ORDER BY u.kafka_partition"
    )
    return Statement(sql, parameters)


def page(selection: Selection, after: Key | None, until: Key | None, rows: int) -> Statement:
    """The first ``rows`` rows after a key, up to a bound, with the table's columns."""
    parameters = _ranges(selection) | {"rows": rows}
    if selection.window is None:
        where = _where(selection, parameters, f"u.{selection.table.moment}")
        return _lines(selection, where, parameters, after)
    moment = "u.hour" if selection.positions is None else "u.timestamp"
    where = _where(selection, parameters, moment)
    return _usage(selection, selection.window, where, parameters, after, until)


def _lines(selection: Selection, where: str, parameters: dict[str, Any], after: Key | None) -> Statement:
    table = selection.table
    names = [f"u.{name}" for name in table.key]
    if after is not None:
        where += " AND " + _after(names, [_parameter(n, kind) for n, kind in enumerate(table.key_kinds)])
        parameters |= {f"after_{n}": value for n, value in enumerate(after)}
    if selection.positions is not None:
        where += f" AND u.kafka_offset <= {_offset_of('', selection.positions, parameters)}"
    columns = ", ".join(f"u.{column.name} AS {column.name}" for column in table.columns)
    final = " FINAL" if table.source == "rejected_events" else ""
    return Statement(
        f"SELECT {columns} FROM {table.source} AS u{final} WHERE {where} "
        f"ORDER BY {', '.join(names)} LIMIT {{rows:UInt32}}",
        parameters,
    )


def _usage(
    selection: Selection, window: Window, where: str, parameters: dict[str, Any], after: Key | None, until: Key | None
) -> Statement:
    start = _STARTS[window].format("u.hour" if selection.positions is None else "u.timestamp")
    if after is not None:
        last = _STARTS[window].format(_HOUR)
        where += " AND " + _after(["u.tenant_id", "u.metric", start], [*_PAIR, last])
        parameters |= {f"after_{n}": value for n, value in enumerate(after)}
    if until is not None:
        where += (
            " AND u.tenant_id <= {until_0:String} AND (u.tenant_id < {until_0:String} OR u.metric <= {until_1:String})"
        )
        parameters |= {"until_0": until[0], "until_1": until[1]}
    fold, source, having = OF_PARTS, "usage_parts", ""
    if selection.positions is not None:
        fold, source = OF_EVENTS, "usage_events"
        where += f" AND u.kafka_offset <= {_offset_of('', selection.positions, parameters)}"
    if selection.since is not None:
        having = f"HAVING countIf(u.kafka_offset > {_offset_of('since_', selection.since, parameters)}) > 0 "
    folded = (
        f"SELECT u.tenant_id AS tenant_id, u.metric AS metric, {start} AS began, {fold} "
        f"FROM {source} AS u WHERE {where} GROUP BY u.tenant_id, u.metric, began {having}"
        "ORDER BY u.tenant_id, u.metric, began LIMIT {rows:UInt32}"
    )
    parameters["keys"] = [one.key for one in selection.definitions] or [""]
    parameters["aggregations"] = [one.aggregation for one in selection.definitions] or ["sum"]
    parameters["units"] = [one.unit for one in selection.definitions] or [""]
    ends = _NEXT[window].format("began")
    sql = (
        "SELECT tenant_id, toString(metric) AS metric, "
        "greatest(toDateTime64(began, 3, 'UTC'), fromUnixTimestamp64Milli({start:Int64}, 'UTC')) AS `from`, "
        f"least(toDateTime64({ends}, 3, 'UTC'), fromUnixTimestamp64Milli({{end:Int64}}, 'UTC')) AS `to`, "
        "transform(toString(metric), {keys:Array(String)}, {aggregations:Array(String)}, 'sum') AS aggregation, "
        "transform(toString(metric), {keys:Array(String)}, {units:Array(String)}, '') AS unit, "
        f"{VALUE} AS value, events AS count, total AS sum, least_one AS min, greatest_one AS max, "
        f"final_one AS last, final_timestamp AS last_timestamp, final_id AS last_id FROM ({folded}) "
        "ORDER BY tenant_id, metric, began"
    )
    return Statement(sql, parameters)


def _ranges(selection: Selection) -> dict[str, Any]:
    return {"start": selection.start, "end": selection.end}


def _where(selection: Selection, parameters: dict[str, Any], time: str) -> str:
    where = (
        f"{time} >= fromUnixTimestamp64Milli({{start:Int64}}, 'UTC') "
        f"AND {time} < fromUnixTimestamp64Milli({{end:Int64}}, 'UTC')"
    )
    if selection.tenants is not None:
        where += " AND u.tenant_id IN {tenants:Array(String)}"
        parameters["tenants"] = list(selection.tenants)
    if selection.metric is not None:
        where += " AND u.metric = {metric:String}"
        parameters["metric"] = selection.metric
    return where


def _offset_of(name: str, positions: Positions, parameters: dict[str, Any]) -> str:
    """The offset that positions have of a row's partition; -1 where they have none."""
    parameters[f"{name}partitions"] = [partition for partition, _offset in positions] or [-1]
    parameters[f"{name}offsets"] = [offset for _partition, offset in positions] or [-1]
    arrays = f"{{{name}partitions:Array(Int32)}}, {{{name}offsets:Array(Int64)}}"
    return f"transform(u.kafka_partition, {arrays}, toInt64(-1))"


def _after(names: list[str], values: list[str]) -> str:
    """That a key is greater than another: the first column is, or it is the same and the others are."""
    (name, *more), (value, *others) = names, values
    if not more:
        return f"{name} > {value}"
    return f"{name} >= {value} AND ({name} > {value} OR ({_after(more, others)}))"


def _parameter(number: int, kind: Kind) -> str:
    found = f"{{after_{number}:{_TYPES[kind]}}}"
    return f"fromUnixTimestamp64Milli({found}, 'UTC')" if kind is Kind.INSTANT else found


def _key_value(name: str, kind: Kind) -> str:
    match kind:
        case Kind.INSTANT:
            return f"toUnixTimestamp64Milli(r.`{name}`)"
        case Kind.INTEGER:
            return f"toInt64(r.`{name}`)"
        case _:
            return f"toString(r.`{name}`)"


def _typed(column: Column) -> str:
    name = f"r.`{column.name}`"
    match column.kind:
        case Kind.TEXT:
            return f"toString({name}) AS `{column.name}`"
        case Kind.JSON:
            return f"toJSONString({name}) AS `{column.name}`"
        case Kind.INTEGER:
            return f"toInt64({name}) AS `{column.name}`"
        case Kind.FLAG:
            return f"toBool({name}) AS `{column.name}`"
        case _:
            return f"{name} AS `{column.name}`"


def _hash(table: Table) -> str:
    return f"cityHash64({_text(table, Format.NDJSON)})"


def _text(table: Table, format: Format) -> str:
    """A row as a line of CSV, or as an object of JSON, without what ends the line."""
    if format is Format.CSV:
        fields = ", ',', ".join(_csv(column) for column in table.columns)
        return f"concat({fields})"
    members = ", ',', ".join(f"'\"{column.name}\":', {_json(column)}" for column in table.columns)
    return f"concat('{{', {members}, '}}')"


def _csv(column: Column) -> str:
    name = f"r.`{column.name}`"
    match column.kind:
        case Kind.TEXT:
            return _quoted(f"toString({name})")
        case Kind.JSON:
            return _quoted(f"toJSONString({name})")
        case Kind.INSTANT:
            return _instant(name)
        case Kind.FLAG:
            return f"if({name}, 'true', 'false')"
        case _:
            return f"ifNull(toString({name}), '')"


def _json(column: Column) -> str:
    name = f"r.`{column.name}`"
    match column.kind:
        case Kind.TEXT:
            return f"toJSONString(toString({name}))"
        case Kind.JSON:
            return f"toJSONString({name})"
        case Kind.INSTANT:
            return f"concat('\"', {_instant(name)}, '\"')"
        case Kind.FLAG:
            return f"if({name}, 'true', 'false')"
        case Kind.INTEGER:
            return f"toString({name})"
        case _:
            return f"ifNull(concat('\"', toString({name}), '\"'), 'null')"


def _quoted(text: str) -> str:
    return f"if(match({text}, '[\",\\\\r\\\\n]'), concat('\"', replaceAll({text}, '\"', '\"\"'), '\"'), {text})"


def _instant(name: str) -> str:
    return f"concat(substring(formatDateTime({name}, '%Y-%m-%dT%H:%i:%S.%f', 'UTC'), 1, 23), 'Z')"
