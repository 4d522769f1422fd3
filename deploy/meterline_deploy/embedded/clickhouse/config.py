"""The engine's configuration: a laptop's share of memory and threads, and no way to this machine's files.

The engine knows one user and roles, read once at its start: every request but the owner's takes one before it runs.
"""

from __future__ import annotations

import os
from pathlib import Path

from meterline_deploy.folders import write_private

GIB = 1024**3

FRONT_DATABASE = "meterline_front"  # of the front's own: analysts do not see it
ANALYST_ROLE = "analyst"
TENANT_DATABASE = "meterline_analyst_"  # and a number: one tenant's views
TENANT_DATABASES = 64


def tenant_role(database: str) -> str:
    """The role that reads one tenant's views and nothing else."""
    return f"reads_{database}"


def memory_limit() -> int:
    """Bytes that the engine may use: 40 % of the machine, at least 1 and at most 8 GiB."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(max(machine * 2 // 5, GIB), 8 * GIB)


def write_config(data: Path) -> Path:
    """Write the engine's two files below ``data`` and return the main one.

    The embedded engine merges with two threads by default: too few to keep up with an insert a second into each
    table, so that parts would pile up; and it caps nothing below 90 % of the machine.
    """
    tenants = [f"{TENANT_DATABASE}{number}" for number in range(1, TENANT_DATABASES + 1)]
    roles = {
        "owner": ["GRANT ALL ON *.*", "REVOKE FILE ON *.*"],
        ANALYST_ROLE: ["GRANT SELECT ON *.*", f"REVOKE ALL ON {FRONT_DATABASE}.*"],
        **{tenant_role(database): [f"GRANT SELECT ON {database}.*"] for database in tenants},
    }
    users = data / "users.xml"
    write_private(
        users,
        f"""<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password/><profile>default</profile><quota>default</quota><networks><ip>::/0</ip></networks>
    {_grants([f"GRANT {role}" for role in roles])}
  </default></users>
  <roles>
    {"".join(f"<{role}>{_grants(granted)}</{role}>" for role, granted in roles.items())}
  </roles>
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


def _grants(statements: list[str]) -> str:
    return "<grants>" + "".join(f"<query>{statement}</query>" for statement in statements) + "</grants>"
