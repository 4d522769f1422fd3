"""Ids: unique wherever they are made, and in order of time."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from datetime import UTC, datetime

import pytest

from meterline.marks import marks, text_of


def test_an_id_is_a_uuid_of_version_7_with_the_time_of_its_timestamp() -> None:
    id, text = marks()
    parsed = uuid.UUID(id)
    assert str(parsed) == id
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert text_of(parsed.int >> 80) == text
    assert abs((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()) < 60


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1_767_225_599_999, "2025-12-31T23:59:59.999Z")],
)
def test_milliseconds_are_written_as_rfc_3339(milliseconds: int, text: str) -> None:
    assert text_of(milliseconds) == text


def test_threads_never_make_the_same_id() -> None:
    made: list[list[str]] = [[] for _ in range(8)]

    def work(ids: list[str]) -> None:
        ids.extend(marks()[0] for _ in range(5_000))

    threads = [threading.Thread(target=work, args=(ids,)) for ids in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id for ids in made for id in ids}) == 40_000


FORK = """
import os
from meterline.marks import marks
marks()
if os.fork() == 0:
    print("child", *(marks()[0] for _ in range(500)), flush=True)
    os._exit(0)
os.wait()
print("parent", *(marks()[0] for _ in range(500)))
"""


def test_a_fork_never_makes_the_ids_of_its_parent() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=True)
    (first, *theirs), (second, *mine) = (line.split() for line in done.stdout.splitlines())
    assert (first, second) == ("child", "parent")
    assert len(set(theirs) | set(mine)) == 1_000
    assert {id[-12:] for id in mine} != {id[-12:] for id in theirs}
