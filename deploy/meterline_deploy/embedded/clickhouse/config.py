"""The engine's configuration: a laptop's share of memory and threads, and no way to this machine's files."""

from __future__ import annotations

import os
from pathlib import Path

from meterline_deploy.folders import write_private

GIB = 1024**3


def memory_limit() -> int:
    """Bytes that the engine may use: 40 % of the machine, at least 1 and at most 8 GiB."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(max(machine * 2 // 5, GIB), 8 * GIB)


def write_config(data: Path) -> Path:
    """Write the engine's two files below ``data`` and return the main one.

    The embedded engine merges with two threads by default: too few to keep up with an insert a second into each
    table, so that parts would pile up; and it caps nothing below 90 % of the machine.
    """
    users = data / "users.xml"
    write_private(
        users,
        """<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password/><profile>default</profile><quota>default</quota><networks><ip>::/0</ip></networks>
    <grants><query>GRANT ALL ON *.*</query><query>REVOKE FILE ON *.*</query></grants>
  </default></users>
</clickhouse>
""",
    )
    config = data / "config.xml"
    write_private(
        config,
        f"""<clickhouse>
  <users_config>{users}</users_config>
  <max_server_memory_usage>{memory_limit()}</max_server_memory_usage>
  <background_pool_size>4</background_pool_size>
  <background_schedule_pool_size>4</background_schedule_pool_size>
  <mark_cache_size>{GIB // 8}</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
</clickhouse>
""",
    )
    return config
