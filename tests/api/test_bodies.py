"""Bodies are unpacked within their bound, whatever they claim."""

from __future__ import annotations

import gzip
import random
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.bodies import unpack
from meterline_api.problems import Code, Problem

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress}
encodings = st.sampled_from(sorted(PACK))


@given(st.binary(max_size=2_000), encodings)
def test_what_was_packed_is_unpacked(body: bytes, encoding: str) -> None:
    assert unpack(PACK[encoding](body), encoding, 2_000) == body


@given(st.lists(st.binary(max_size=50), max_size=5), encodings)
def test_several_members_are_one_body(parts: list[bytes], encoding: str) -> None:
    assert unpack(b"".join(PACK[encoding](part) for part in parts), encoding, 1_000) == b"".join(parts)


@pytest.mark.parametrize("encoding", sorted(PACK))
def test_a_bomb_is_refused_before_it_is_unpacked(encoding: str) -> None:
    bomb = PACK[encoding](bytes(50_000_000))
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(Problem) as raised:
            unpack(bomb, encoding, 100_000)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert raised.value.code == Code.BODY_TOO_LARGE
    assert peak < 5_000_000


@pytest.mark.parametrize("encoding", sorted(PACK))
@pytest.mark.parametrize("damage", [lambda packed: packed[:-3], lambda packed: b"x" + packed, lambda _: b"{}"])
def test_damage_is_told(encoding: str, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Problem) as raised:
        unpack(damage(PACK[encoding](b"some text " * 100)), encoding, 10_000)
    assert raised.value.code == Code.INVALID_ENCODING


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    assert len(unpack(zlib.compress(bytes(1_000), wbits=31), "gzip", 1_000)) == 1_000
    with pytest.raises(Problem):
        unpack(zlib.compress(bytes(1_001), wbits=31), "gzip", 1_000)


@pytest.mark.parametrize("encoding", sorted(PACK))
def test_a_body_of_very_many_members_is_refused_at_once(encoding: str) -> None:
    member = PACK[encoding](b"")
    flood = member * (8_000_000 // len(member))
    started = time.process_time()
    with pytest.raises(Problem) as raised:
        unpack(flood, encoding, 8_000_000)
    assert raised.value.code == Code.INVALID_ENCODING
    assert time.process_time() - started < 2, "what is behind a member must not be copied for each"


@pytest.mark.parametrize("encoding", sorted(PACK))
def test_members_may_lie_anywhere_in_a_long_body(encoding: str) -> None:
    parts = [random.Random(size).randbytes(size) for size in (16_384, 1, 40_000, 0, 100_000)]
    assert unpack(b"".join(PACK[encoding](part) for part in parts), encoding, 200_000) == b"".join(parts)
