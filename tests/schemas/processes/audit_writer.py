"""Changes the catalog and writes entries at once, and says each that was acknowledged, until it is killed."""

from __future__ import annotations

import sys
import threading
from itertools import count

from meterline_schemas.audit.entry import Author, Draft
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.catalog import Tenant
from meterline_schemas.catalog.store import Store
from meterline_schemas.settings import KafkaSettings


def main(kafka: str, prefix: str, name: str) -> None:
    settings = KafkaSettings(kafka=kafka, topic_prefix=prefix)
    log = AuditLog(settings)
    store = Store(settings, log)
    author = Author(f"key:{name}")
    saying = threading.Lock()

    def say(what: str) -> None:
        with saying:
            print(what, flush=True)

    def report() -> None:
        for number in count():
            ids = [f"{name}-{number}-{part}" for part in "abc"]
            log.append(*(Draft(author=author, action="report", resource_type="r", resource_id=id) for id in ids))
            for id in ids:
                say(f"r {id}")

    threading.Thread(target=report, daemon=True).start()
    for number in count():
        tenant = Tenant(id=f"{name}-{number}")
        store.change(lambda _book, tenant=tenant: [(tenant, False)], author)  # type: ignore[misc]
        say(f"t {tenant.id}")


if __name__ == "__main__":
    main(*sys.argv[1:])
