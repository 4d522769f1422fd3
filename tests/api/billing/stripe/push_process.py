"""``python -m tests.api.billing.stripe.push_process FILE push|retry``: one run of the job, told as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import closing
from datetime import date
from pathlib import Path

import msgspec

from meterline_api.billing.stripe.days import DayTotal
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_api.billing.stripe.site import opened
from meterline_api.billing.stripe.terms import Terms
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.catalog import Book
from meterline_schemas.settings import KafkaSettings, load


def main() -> int:
    given = json.loads(Path(sys.argv[1]).read_text())
    book = Book()
    for key, value in given["catalog"].items():
        assert book.apply(key.encode(), json.dumps(value).encode()) is None
    totals = [DayTotal(who, metric, date.fromisoformat(day), amount) for who, metric, day, amount in given["totals"]]
    kafka = load(KafkaSettings)
    with closing(AuditLog(kafka)) as audit, opened(load(StripeSettings), kafka, audit) as site:
        run = site.pusher.push(totals, Terms(book)) if sys.argv[2] == "push" else site.pusher.retry(Terms(book))
        print(json.dumps(msgspec.to_builtins(asyncio.run(run))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
