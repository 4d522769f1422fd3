"""The embedded ClickHouse as its clients see it: the stock client, httpx, and requests as curl sends them."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import lz4.frame
import pytest
import zstandard
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.services.clickhouse import ANALYST_PASSWORD, PASSWORD, ClickHouseServer, EmbeddedClickHouse

Ask = Callable[..., httpx.Response]
DEFAULT = ("default", PASSWORD)
ANALYST = ("analyst", ANALYST_PASSWORD)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedClickHouse]:
    """Always the embedded one, whatever the other tests run on; far from UTC, which must not show."""
    started = EmbeddedClickHouse(tmp_path_factory.mktemp("front"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Kathmandu")
        started.start()
    yield started
    started.kill()


@pytest.fixture
def base(server: EmbeddedClickHouse) -> str:
    server.restore()
    return server.url


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60) as client:
        yield client


@pytest.fixture
def ask(base: str, http: httpx.Client, database: str) -> Ask:
    """A statement in the body as ``default``; keywords become arguments of the URL."""

    def send(
        text: str | bytes = b"",
        *,
        auth: tuple[str, str] | None = DEFAULT,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        **arguments: object,
    ) -> httpx.Response:
        return http.request(
            method,
            base + "/",
            params={name: str(value) for name, value in arguments.items()},
            content=text,
            auth=auth,
            headers={"Accept-Encoding": "identity", **(headers or {})},
        )

    assert send(f"CREATE DATABASE {database}").status_code == 200
    return send


@pytest.fixture
def table(ask: Ask, database: str) -> str:
    name = f"{database}.things"
    made = ask(
        f"CREATE TABLE {name} (id UInt64, quantity Decimal(38, 9), at DateTime64(3, 'UTC'), "
        "properties Map(String, String), note Nullable(String), kind LowCardinality(String)) "
        "ENGINE = ReplacingMergeTree ORDER BY id"
    )
    assert made.status_code == 200, made.text
    return name


def stock(base: str, auth: tuple[str, str] = DEFAULT, **options: Any) -> Any:
    port = int(base.rpartition(":")[2])
    return clickhouse_connect.get_client(host="127.0.0.1", port=port, username=auth[0], password=auth[1], **options)


# --- the stock client


@pytest.mark.parametrize("compress", [False, True, "gzip", "zstd", "lz4"])
def test_the_stock_client_inserts_native_blocks_and_reads_them_back(
    base: str, table: str, compress: bool | str
) -> None:
    client = stock(base, compress=compress)
    at = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
    rows = [[n, Decimal("1.000000001") * n, at, {"a": "b"}, None, "x"] for n in range(1000)]
    summary = client.insert(table, rows, column_names=["id", "quantity", "at", "properties", "note", "kind"])
    assert summary.written_rows == 1000
    answer = client.query(f"SELECT id, quantity, at, properties, note, kind FROM {table} WHERE id = 999")
    assert answer.result_rows == [(999, Decimal("999.000000999"), at.replace(tzinfo=None), {"a": "b"}, None, "x")]
    assert client.command(f"SELECT count() FROM {table}") == 1000
    client.close()


def test_the_stock_client_inserts_raw_lines_plain_and_compressed(base: str, table: str) -> None:
    client = stock(base)
    line = b'{"id":%d,"quantity":"2.5"}\n'
    plain = b"".join(line % n for n in range(100))
    packed = gzip.compress(b"".join(line % n for n in range(100, 200)))
    client.raw_insert(table, ["id", "quantity"], plain, fmt="JSONEachRow")
    client.raw_insert(table, ["id", "quantity"], packed, fmt="JSONEachRow", compression="gzip")
    assert client.query(f"SELECT count(), sum(quantity) FROM {table}").result_rows == [(200, Decimal(500))]
    client.close()


def test_the_stock_client_binds_parameters_on_the_server(base: str) -> None:
    client = stock(base)
    nasty = "it's\ta \\ line\nand 'more'"
    sql = "SELECT {text:String}, {day:Date}, {some:Array(String)}, {none:Nullable(String)}, {q:Decimal(38,9)}"
    values = {"text": nasty, "day": "2026-03-01", "some": ["a'b", "c"], "none": None, "q": "0.000000001"}
    ((text, day, some, none, q),) = client.query(sql, parameters=values).result_rows
    assert (text, str(day), some, none, q) == (nasty, "2026-03-01", ["a'b", "c"], None, Decimal("0.000000001"))
    client.close()


def test_the_stock_client_binds_parameters_that_are_too_long_for_a_url(base: str) -> None:
    client = stock(base)
    long = ["名\r\n--" + "x" * 3_000, "", 'a"b']
    found = client.query("SELECT {list:Array(String)}, {n:Int64}", parameters={"list": long, "n": -7}).result_rows
    assert found == [(long, -7)]
    client.close()


def test_a_form_with_a_table_in_it_or_cut_off_is_refused(base: str, http: httpx.Client) -> None:
    table = http.post(
        base, params={"query": "SELECT * FROM t", "t_structure": "n UInt8"}, auth=DEFAULT, files={"t": b"1"}
    )
    assert (table.status_code, "External data" in table.text) == (501, True)
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    cut = http.post(
        base,
        content=b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT 1',
        headers=headers,
        auth=DEFAULT,
    )
    assert (cut.status_code, "cut off" in cut.text) == (400, True)


def test_the_stock_client_sees_errors_with_their_codes(base: str) -> None:
    client = stock(base)
    with pytest.raises(DatabaseError, match=r"code: 60.*UNKNOWN_TABLE"):
        client.query("SELECT * FROM not_there")
    with pytest.raises(DatabaseError, match="516"):
        stock(base, ("default", "wrong"))
    client.close()


def test_the_stock_client_as_analyst_reads(base: str, table: str) -> None:
    client = stock(base, ANALYST)
    assert client.query(f"SELECT count() FROM {table}").result_rows == [(0,)]
    with pytest.raises(DatabaseError, match="READONLY"):
        client.insert(table, [[1]], column_names=["id"])
    client.close()


# --- who may ask


def test_ping_and_the_bare_root_need_no_password(base: str, http: httpx.Client) -> None:
    for path in ("/", "/ping", "/replicas_status"):
        answer = http.get(base + path)
        assert (answer.status_code, answer.text) == (200, "Ok.\n")
        assert http.head(base + path).status_code == 200


def test_each_way_to_say_who_one_is(ask: Ask) -> None:
    who = "SELECT 1"
    assert ask(who).text == "1\n"
    assert ask(who, auth=None, user="default", password=PASSWORD).text == "1\n"
    assert ask(who, auth=None, password=PASSWORD).text == "1\n"
    said = {"X-ClickHouse-User": "analyst", "X-ClickHouse-Key": ANALYST_PASSWORD}
    assert ask(who, auth=None, headers=said).text == "1\n"


@pytest.mark.parametrize("auth", [("default", ""), ("default", "wrong"), ("nobody", PASSWORD), ("analyst", PASSWORD)])
def test_a_wrong_name_or_password_is_403_and_516(ask: Ask, auth: tuple[str, str]) -> None:
    for answer in (ask("SELECT 1", auth=auth), ask("SELECT 1", auth=None, user=auth[0], password=auth[1])):
        assert answer.status_code == 403
        assert answer.headers["X-ClickHouse-Exception-Code"] == "516"
        assert "AUTHENTICATION_FAILED" in answer.text


def test_no_password_at_all_and_broken_credentials_are_refused(ask: Ask) -> None:
    assert ask("SELECT 1", auth=None).status_code == 403
    assert ask("SELECT 1", auth=None, headers={"Authorization": "Basic ???"}).status_code == 403


# --- answers


def test_the_format_comes_from_the_clause_then_the_argument_then_the_header(ask: Ask) -> None:
    header = {"X-ClickHouse-Format": "CSV"}
    assert ask("SELECT 'a' AS x").text == "a\n"
    assert ask("SELECT 'a' AS x", headers=header).text == '"a"\n'
    assert ask("SELECT 'a' AS x", headers=header, default_format="JSONEachRow").text == '{"x":"a"}\n'
    answer = ask("SELECT 'a' AS x -- FORMAT XML\nFORMAT JSON", headers=header)
    assert answer.json()["data"] == [{"x": "a"}]
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["X-ClickHouse-Format"] == "JSON"


def test_an_answer_tells_about_itself_in_headers(ask: Ask) -> None:
    answer = ask("SELECT number FROM numbers(1000)", query_id="mine-1")
    summary = json.loads(answer.headers["X-ClickHouse-Summary"])
    assert summary["read_rows"] == "1000"
    assert int(summary["elapsed_ns"]) > 0
    assert answer.headers["X-ClickHouse-Query-Id"] == "mine-1"
    assert answer.headers["X-ClickHouse-Server-Display-Name"]
    assert answer.headers["X-ClickHouse-Timezone"] == "UTC"
    assert ask("SELECT 1").headers["X-ClickHouse-Query-Id"]


@pytest.mark.parametrize(
    ("statement", "status", "code", "name"),
    [
        ("SELECT FROM WHERE", 400, "62", "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", 400, "62", "Multi-statements are not allowed"),
        ("", 400, "62", "SYNTAX_ERROR"),
        ("SELECT * FROM not_there", 404, "60", "UNKNOWN_TABLE"),
        ("SELECT not_there", 404, "47", "UNKNOWN_IDENTIFIER"),
        ("SELECT 1 FORMAT Nothing", 404, "73", "UNKNOWN_FORMAT"),
        ("SELECT throwIf(1)", 500, "395", "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
    ],
)
def test_errors_have_the_shape_and_status_of_a_server(
    ask: Ask, statement: str, status: int, code: str, name: str
) -> None:
    answer = ask(statement)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (status, code)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert name in answer.text
    assert "formatQuery" not in answer.text
    assert answer.headers["X-ClickHouse-Query-Id"]


def test_the_query_may_stand_in_the_url_or_the_body_or_both(ask: Ask) -> None:
    assert ask(query="SELECT 1 + 1").text == "2\n"
    assert ask(query="SELECT 1 + 1", method="GET").text == "2\n"
    assert ask("+ 1", query="SELECT 1").text == "2\n"


def test_a_get_only_reads(ask: Ask, table: str) -> None:
    refused = ask(query=f"INSERT INTO {table} (id) VALUES (1)", method="GET")
    assert refused.headers["X-ClickHouse-Exception-Code"] == "164"
    assert ask(query=f"SELECT count() FROM {table}", method="GET").text == "0\n"


def test_times_are_utc_wherever_the_machine_stands(ask: Ask) -> None:
    assert ask("SELECT timezone(), toDateTime(0)").text == "UTC\t1970-01-01 00:00:00\n"


def test_parameters_and_settings_come_from_the_url(ask: Ask) -> None:
    assert ask("SELECT {a:UInt8} + {b:UInt8}", param_a=1, param_b=2).text == "3\n"
    assert ask("SELECT {s:String}", param_s="tab\\tquote'").text == "tab\\tquote\\'\n"
    assert ask("SELECT getSetting('max_block_size')", max_block_size=1234).text == "1234\n"
    assert ask("SELECT getSetting('max_block_size')").text != "1234\n"
    assert ask("SELECT 1", no_such_setting=1).headers["X-ClickHouse-Exception-Code"] == "115"
    assert ask("SELECT 1", **{"x=1, max_threads": "2"}).headers["X-ClickHouse-Exception-Code"] == "115"
    assert ask("SELECT 1", max_threads="many").status_code == 400
    assert (
        ask("SELECT 1", wait_end_of_query=1, buffer_size=10, quota_key="k", client_protocol_version=54405).text == "1\n"
    )


def test_the_database_of_a_request_is_its_own(ask: Ask, table: str, database: str) -> None:
    assert ask("SELECT count() FROM things", database=database).text == "0\n"
    assert ask("SELECT currentDatabase()", headers={"X-ClickHouse-Database": database}).text == f"{database}\n"
    assert ask("SELECT currentDatabase()").text == "default\n"
    assert ask("SELECT 1", database="not_there").headers["X-ClickHouse-Exception-Code"] == "81"


def test_the_database_default_is_one_like_any_other(ask: Ask, server: EmbeddedClickHouse) -> None:
    assert ask("SELECT engine FROM system.databases WHERE name = 'default'").text == "Atomic\n"
    assert ask("CREATE OR REPLACE TABLE kept (a UInt8) ENGINE = MergeTree ORDER BY a").status_code == 200
    assert ask("INSERT INTO kept VALUES (1)").status_code == 200
    server.kill()
    server.start()
    assert ask("SELECT a FROM default.kept").text == "1\n"
    assert ask("DROP TABLE kept").status_code == 200


def test_a_session_keeps_what_is_made_in_it_and_ends(ask: Ask) -> None:
    mine = {"session_id": "s1"}
    assert ask("SELECT 1", **mine, session_check=1).headers["X-ClickHouse-Exception-Code"] == "372"
    ask("CREATE TEMPORARY TABLE t (a UInt8)", **mine)
    ask("INSERT INTO t VALUES (7)", **mine)
    ask("SET max_block_size = 4321", **mine)
    assert ask("SELECT a, getSetting('max_block_size') FROM t", **mine, max_threads=1).text == "7\t4321\n"
    assert ask("SELECT getSetting('max_threads') = 1", **mine).text == "0\n"
    assert ask("SELECT a FROM t", session_id="s2").headers["X-ClickHouse-Exception-Code"] == "60"
    assert ask("SELECT 1", **mine, close_session=1).text == "1\n"
    assert ask("SELECT a FROM t", **mine).headers["X-ClickHouse-Exception-Code"] == "60"


def test_a_session_takes_one_request_at_a_time(ask: Ask) -> None:
    def refused(sql: str) -> bool:
        return bool(ask(sql, session_id="busy").headers.get("X-ClickHouse-Exception-Code") == "373")

    def stay_busy() -> None:
        while refused("SELECT sleepEachRow(0.5) FROM numbers(4)"):  # the other one was just being answered
            pass

    running = threading.Thread(target=stay_busy)
    running.start()
    deadline = time.monotonic() + 20
    while not refused("SELECT 1"):
        assert time.monotonic() < deadline
    running.join()
    assert ask("SELECT 1", session_id="busy").text == "1\n"


# --- compression


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
def test_bodies_come_compressed(ask: Ask, table: str, encoding: str) -> None:
    pack: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "zstd": zstandard.ZstdCompressor().compress,
        "lz4": lz4.frame.compress,
    }
    rows = b"".join(b'{"id":%d,"note":"some text that repeats"}\n' % n for n in range(100_000))
    insert = f"INSERT INTO {table} (id, note) FORMAT JSONEachRow"
    two = pack[encoding](rows[: len(rows) // 2]) + pack[encoding](rows[len(rows) // 2 :])  # frames follow one another
    if encoding == "deflate":
        two = zlib.compress(rows)
    assert ask(two, query=insert, headers={"Content-Encoding": encoding}).status_code == 200
    assert ask(f"SELECT count(), uniqExact(id) FROM {table}").text == "100000\t100000\n"
    cut = ask(two[:-20], query=insert, headers={"Content-Encoding": encoding})
    assert (cut.status_code, cut.headers["X-ClickHouse-Exception-Code"]) == (500, "271")
    broken = ask(b"not packed at all", query=insert, headers={"Content-Encoding": encoding})
    assert broken.headers["X-ClickHouse-Exception-Code"] == "271"
    assert ask(f"SELECT count() FROM {table} FINAL").text == "100000\n"
    assert ask(pack[encoding](b"SELECT 1"), headers={"Content-Encoding": encoding}).text == "1\n"


def test_an_unknown_compression_is_refused(ask: Ask) -> None:
    assert ask("SELECT 1", headers={"Content-Encoding": "snappy"}).headers["X-ClickHouse-Exception-Code"] == "89"
    assert ask("SELECT 1", compress=1).status_code == 501
    assert ask("SELECT 1", decompress=1).status_code == 501


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
def test_answers_are_compressed_where_the_client_asks_and_allows_it(
    ask: Ask, base: str, http: httpx.Client, encoding: str
) -> None:
    unpack: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.decompress,
        "deflate": zlib.decompress,
        "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
        "lz4": lz4.frame.decompress,
    }
    query = "SELECT number FROM numbers(10000)"
    asked = {"Accept-Encoding": f"{encoding}, snappy"}
    plain = ask(query).content
    assert "Content-Encoding" not in ask(query, headers=asked).headers
    arguments = {"query": query, "enable_http_compression": "1"}
    with http.stream("POST", base, params=arguments, headers=asked, auth=DEFAULT) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["Content-Encoding"] == encoding
    assert len(packed) < len(plain)
    assert unpack[encoding](packed) == plain


# --- inserts


def test_rows_may_follow_the_insert_in_one_body(ask: Ask, table: str) -> None:
    for text in (
        f'INSERT INTO {table} (id) FORMAT JSONEachRow {{"id": 1}} {{"id": 2}}',
        f'INSERT INTO {table} (id)\nFORMAT JSONEachRow\n{{"id": 3}}\n{{"id": 4}}\n',
        f"INSERT INTO {table} (id) VALUES (5), (6)",
        f"insert into {table} (id, note) values (7, 'FORMAT CSV (1)'), (8, ';')",
        f"/* first */ INSERT INTO {table} (`id`) SETTINGS async_insert = 0 FORMAT CSV\n9\n10\n",
        f"INSERT /* between */ INTO {table} (id) VALUES (11), (12)",
        f"INSERT INTO {table} (id) SELECT number + 13 FROM values('number UInt64', 0, 1)",
    ):
        answer = ask(text)
        assert answer.status_code == 200, answer.text
    assert ask(f"SELECT groupArray(id) FROM (SELECT id FROM {table} FINAL ORDER BY id)").text == (
        "[1,2,3,4,5,6,7,8,9,10,11,12,13,14]\n"
    )


def test_an_insert_tells_how_many_rows_it_wrote(ask: Ask, table: str) -> None:
    answer = ask(b"1\n2\n3\n", query=f"INSERT INTO {table} (id) FORMAT CSV")
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "3"


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (b'{"id": 1}\n{"id": "x"}\n', "27"),
        (b'{"id": 1}\n{"id": 2, "note": "cut', "26"),
        (b'{"id": 1, "surprise": 2}\n', "117"),
    ],
)
def test_a_bad_row_is_named_and_nothing_of_the_insert_is_kept(ask: Ask, table: str, rows: bytes, code: str) -> None:
    insert = f"INSERT INTO {table} FORMAT JSONEachRow"
    answer = ask(rows, query=insert, input_format_skip_unknown_fields=0)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (400, code)
    assert ask(f"SELECT count() FROM {table}").text == "0\n"
    assert ask(b'{"id": 1}', query=insert).status_code == 200


def test_a_large_insert_arrives_whole(ask: Ask, table: str) -> None:
    rows = b"".join(b'{"id":%d,"quantity":"1.5","note":"%s"}\n' % (n, b"x" * 60) for n in range(200_000))
    assert len(rows) > 15_000_000
    assert ask(rows, query=f"INSERT INTO {table} (id, quantity, note) FORMAT JSONEachRow").status_code == 200
    assert ask(f"SELECT count(), sum(quantity) FROM {table}").text == "200000\t300000\n"


def test_an_insert_without_its_table_says_so(ask: Ask) -> None:
    answer = ask(b"1\n", query="INSERT INTO not_there (id) FORMAT CSV")
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (404, "60")


# --- the analyst


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {table} (id) VALUES (1)",
        "INSERT INTO {table} (id) SELECT 1",
        "ALTER TABLE {table} DELETE WHERE 1",
        "ALTER TABLE {table} ADD COLUMN x UInt8",
        "DROP TABLE {table}",
        "TRUNCATE TABLE {table}",
        "OPTIMIZE TABLE {table}",
        "RENAME TABLE {table} TO {table}2",
        "DETACH TABLE {table}",
        "CREATE TABLE {table}2 (a UInt8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE x (a UInt8)",
        "CREATE DATABASE mine",
        "CREATE USER mine",
        "CREATE FUNCTION f AS (x) -> x",
        "GRANT ALL ON *.* TO analyst",
        "SYSTEM FLUSH LOGS",
        "KILL QUERY WHERE 1",
        "BACKUP TABLE {table} TO Disk('default', 'x')",
        "SET readonly = 0",
        "SET max_execution_time = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "SELECT 1; DROP TABLE {table}",
        "SELECT 1 INTO OUTFILE '/tmp/analyst-was-here'",
        "SELECT file('/etc/hostname')",
        "SELECT `file` /* sly */ ('/etc/hostname')",
        "SELECT \"fi\\x6ce\"('/etc/hostname')",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "DESCRIBE TABLE file('/etc/hostname', 'LineAsString')",
        "SELECT * FROM default.`/etc/hostname`",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/y.csv')",
        "DESCRIBE TABLE url('http://127.0.0.1:1/', 'CSV')",
        "DESCRIBE TABLE s3('http://127.0.0.1:1/bucket/y.csv')",
        "DESCRIBE TABLE (SELECT * FROM url('http://127.0.0.1:1/', 'CSV'))",
        "EXPLAIN PLAN SELECT * FROM url('http://127.0.0.1:1/', 'CSV')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM executable('id', 'TSV', 'a String')",
        "SELECT * FROM sqlite('/tmp/x.db', 't')",
        "SELECT * FROM python('server')",
        "SELECT * FROM python(server)",
    ],
)
def test_an_analyst_neither_writes_nor_reads_the_disk_nor_loosens_a_limit(ask: Ask, table: str, statement: str) -> None:
    ask(f"INSERT INTO {table} (id) VALUES (1)")
    answer = ask(statement.replace("{table}", table), auth=ANALYST)
    assert answer.status_code >= 400, answer.text
    assert answer.headers["X-ClickHouse-Exception-Code"] in ("164", "62", "60", "358", "497", "46"), answer.text
    assert ask(f"SELECT count() FROM {table}").text == "1\n"
    assert not Path("/tmp/analyst-was-here").exists()


@pytest.mark.parametrize("name", ["max_execution_time", "max_memory_usage", "max_rows_to_read", "readonly", "profile"])
def test_an_analyst_loosens_no_limit_in_the_url(ask: Ask, name: str) -> None:
    answer = ask("SELECT 1", auth=ANALYST, **{name: 0})
    assert answer.headers["X-ClickHouse-Exception-Code"] == "164"


def test_an_analyst_may_ask_for_less_than_the_limits_and_never_for_more(ask: Ask) -> None:
    asked = "SELECT getSetting('max_result_rows'), getSetting('max_execution_time')"
    assert ask(asked, auth=ANALYST, max_result_rows=1000, max_execution_time=5).text == "1000\t5\n"
    assert ask(asked, auth=ANALYST).text == "5000000\t60\n"
    for value in ("5000001", "0", "-1", "1e9", "x", "18446744073709551616"):
        assert ask("SELECT 1", auth=ANALYST, max_result_rows=value).headers["X-ClickHouse-Exception-Code"] == "164"


def test_what_drivers_send_with_every_statement_is_passed_over_for_an_analyst(ask: Ask) -> None:
    sent = {"async_insert": 0, "wait_for_async_insert": 1, "result_overflow_mode": "break"}
    assert ask("SELECT 1", auth=ANALYST, **sent).text == "1\n"


def test_the_fronts_own_table_is_for_the_owner_only(ask: Ask) -> None:
    assert ask("SELECT count() FROM meterline_front.users").status_code == 200
    for statement in ("SELECT * FROM meterline_front.users", "SELECT * FROM merge('meterline_front', '.*')"):
        answer = ask(statement, auth=ANALYST)
        assert answer.status_code >= 400, answer.text


def test_an_analyst_reads_within_limits_and_chooses_how_answers_look(ask: Ask, table: str) -> None:
    ask(f"INSERT INTO {table} (id, quantity) VALUES (1, 1.5)")
    names = "'readonly', 'max_execution_time', 'max_memory_usage', 'max_rows_to_read', 'max_result_bytes'"
    limits = ask(f"SELECT count() FROM system.settings WHERE name IN ({names}) AND value != '0'", auth=ANALYST)
    assert limits.text == "5\n"
    asked = {"output_format_json_quote_64bit_integers": 1, "database": table.partition(".")[0]}
    answer = ask("SELECT id FROM things FORMAT JSONEachRow", auth=ANALYST, **asked)
    assert answer.text == '{"id":"1"}\n'
    assert ask("SELECT id FROM things WHERE id = {id:UInt64}", auth=ANALYST, param_id=1, **asked).text == "1\n"
    for statement in (
        "SHOW TABLES",
        "DESCRIBE TABLE things",
        "EXPLAIN SELECT 1",
        "WITH 1 AS x SELECT x",
        "EXISTS things",
    ):
        assert ask(statement, auth=ANALYST, **asked).status_code == 200, statement


def test_an_analyst_who_asks_too_much_is_stopped(ask: Ask) -> None:
    too_much = ask("SELECT count() FROM numbers(2000000000)", auth=ANALYST)
    assert too_much.headers["X-ClickHouse-Exception-Code"] == "158"
    too_big = ask("SELECT groupArray(repeat('x', 1000)) FROM numbers(10000000)", auth=ANALYST)
    assert too_big.headers["X-ClickHouse-Exception-Code"] == "241"


# --- the process


def test_a_long_statement_does_not_hold_up_a_short_one(ask: Ask) -> None:
    ended = threading.Event()

    def long() -> None:
        ask("SELECT sleepEachRow(1) FROM numbers(3) SETTINGS max_block_size = 1")
        ended.set()

    threads = [threading.Thread(target=long) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        assert ask("SELECT 1").text == "1\n"
    assert not ended.is_set()
    for thread in threads:
        thread.join()


def test_many_clients_at_once_each_get_their_own_answer(base: str, table: str) -> None:
    wrong: list[str] = []

    def work(worker: int) -> None:
        with httpx.Client(timeout=60, auth=DEFAULT) as client:
            for number in range(20):
                row = b'{"id":%d}' % (worker * 1000 + number)
                insert = {"query": f"INSERT INTO {table} FORMAT JSONEachRow"}
                answers = (
                    client.post(base, params=insert, content=row),
                    client.post(base, params={"param_n": f"{worker}"}, content="SELECT {n:UInt8}"),
                    client.post(base, content="SELECT 1", auth=ANALYST),
                )
                if [answer.text for answer in answers] != ["", f"{worker}\n", "1\n"]:
                    wrong.extend(answer.text for answer in answers)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_small_inserts_are_merged_and_do_not_pile_up(ask: Ask, table: str, database: str) -> None:
    for number in range(100):
        assert ask(b"%d\n" % number, query=f"INSERT INTO {table} (id) FORMAT CSV").status_code == 200
    parts = f"SELECT count() FROM system.parts WHERE active AND database = '{database}'"
    deadline = time.monotonic() + 60
    while int(ask(parts).text) > 20:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert ask("SELECT value FROM system.server_settings WHERE name = 'background_pool_size'").text == "4\n"


def test_memory_is_capped_below_that_of_the_machine(ask: Ask) -> None:
    limit = int(ask("SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'").text)
    assert 1024**3 <= limit <= 8 * 1024**3


def test_curl_with_a_form_content_type_and_a_chunked_body_is_understood(base: str, table: str) -> None:
    port = int(base.rpartition(":")[2])
    rows = b"5\n6\n"
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(
            f"POST /?query=INSERT+INTO+{table}+(id)+FORMAT+CSV&user=default&password={PASSWORD} HTTP/1.1\r\n"
            "Host: x\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        for piece in (rows[:3], rows[3:]):
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200")


def test_what_was_acknowledged_is_there_after_a_kill(ask: Ask, table: str, server: EmbeddedClickHouse) -> None:
    for number in range(10):
        assert ask(b"%d\n" % number, query=f"INSERT INTO {table} (id) FORMAT CSV").status_code == 200
    server.kill()
    server.start()
    assert ask(f"SELECT count() FROM {table}").text == "10\n"


def test_sigterm_ends_it_cleanly_even_while_a_statement_runs(tmp_path: Path, http: httpx.Client) -> None:
    server = EmbeddedClickHouse(tmp_path)
    server.start()
    arguments = {"query": "SELECT sleepEachRow(1) FROM numbers(60) SETTINGS max_block_size = 1"}

    def long() -> None:
        with httpx.Client(timeout=60) as client, pytest.raises(httpx.HTTPError):
            client.post(server.url, params=arguments, auth=DEFAULT).raise_for_status()

    running = threading.Thread(target=long)
    running.start()
    count = {"query": "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%'"}
    deadline = time.monotonic() + 20
    while http.get(server.url, params=count, auth=DEFAULT).text != "2\n":
        assert time.monotonic() < deadline
    server.stop()
    running.join()


def test_a_second_process_on_the_folder_says_so_in_one_sentence(tmp_path: Path) -> None:
    first = EmbeddedClickHouse(tmp_path)
    first.start()
    try:
        second = EmbeddedClickHouse(tmp_path)
        with pytest.raises(AssertionError, match="ended with exit code 1") as caught:
            second.start()
        last = str(caught.value).strip().splitlines()[-1]
        assert "is in use: another ClickHouse is running on it" in last
        assert "Traceback" not in str(caught.value)
    finally:
        first.kill()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = EmbeddedClickHouse(tmp_path)
        server._port = taken.getsockname()[1]
        server.ready = lambda: False  # type: ignore[method-assign]
        with pytest.raises(AssertionError, match=rf"port {server._port} is taken.*--port"):
            server.start()


def test_it_listens_on_this_machine_only(server: EmbeddedClickHouse) -> None:
    port = int(server.url.rpartition(":")[2])
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    addresses = {line.split()[1] for line in listening if line.split()[3] == "0A"}
    assert f"0100007F:{port:04X}" in addresses
    assert f"00000000:{port:04X}" not in addresses


def test_the_server_is_what_the_other_tests_get(clickhouse_server: ClickHouseServer) -> None:
    assert clickhouse_server.url.startswith("http://")
