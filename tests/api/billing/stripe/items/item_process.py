"""``python -m tests.api.billing.stripe.items.item_process FILE``: one run of the job, told as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import closing
from pathlib import Path

from meterline_api.billing.stripe.items.site import opened
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.settings import KafkaSettings, load
from tests.api.billing.stripe.items.register import never_metered


def main() -> int:
    customers = json.loads(Path(sys.argv[1]).read_text())
    kafka = load(KafkaSettings)
    with closing(AuditLog(kafka)) as audit, opened(load(StripeSettings), kafka, audit) as site:
        told = asyncio.run(site.items.run(customers.get, never_metered))
    print(json.dumps({name: getattr(told, name) for name in ("delivered", "open", "refused", "problems", "stopped")}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
