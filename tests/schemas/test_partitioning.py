"""The partition of a tenant is the one that every Java client would choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_schemas.partitioning import murmur2, partition_of

# from org.apache.kafka.common.utils.UtilsTest
JAVA = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize(("text", "expected"), JAVA.items())
def test_murmur2_is_that_of_the_java_client(text: str, expected: int) -> None:
    assert murmur2(text.encode()) == expected & 0xFFFFFFFF


@given(st.text(min_size=1), st.integers(1, 1000))
def test_a_partition_is_one_of_those_that_exist(tenant_id: str, partitions: int) -> None:
    assert 0 <= partition_of(tenant_id, partitions) < partitions


def test_a_negative_hash_keeps_its_low_31_bits() -> None:
    assert partition_of("21", 8) == (-973932308 & 0x7FFFFFFF) % 8
