"""How long after it happened the event that crosses a threshold is told by webhook, amid a steady rate of others."""

from __future__ import annotations

import json
import time

from meterline import UsageProducer
from meterline_schemas.catalog import Metric, Threshold, Webhook
from tests.benchmarks.cluster import Bench, wait
from tests.benchmarks.measure import percentile
from tests.benchmarks.parts import pipeline as pipelines
from tests.benchmarks.parts.sdk import TRACK
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import Sizes
from tests.notifier.receiver import Receiver, receiving

PROBES = "probes"
WARM_UP = "warm-up"
PROBES_A_SECOND = 10
GRACE_SECONDS = 60
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def run(bench: Bench, sizes: Sizes) -> Result:
    rate = sizes.freshness_rate
    events = int(rate * sizes.freshness_seconds)
    with receiving() as receiver:
        pipeline = pipelines.start(bench, "webhook")
        installation = pipeline.installation
        hook = {"id": "bench", "url": receiver.url, "secret": SECRET, "events": ["threshold.exceeded"]}
        bench.configure(
            installation,
            Metric(key=PROBES),
            Threshold.model_validate({"id": PROBES, "metric": PROBES, "amount": 1, "steps": [100]}),
            Webhook.model_validate(hook),
        )
        notifier = bench.python(
            "notifier", "meterline_sinks.notifier", **installation.environment(), METERLINE_NOTIFY_ALLOW_PRIVATE="true"
        )
        with UsageProducer(installation.bootstrap, topic_prefix=installation.prefix) as producer:
            wait(lambda: warmed_up(producer, receiver), GRACE_SECONDS, "the first alert", notifier.check)
            out = bench.folder / "webhook.json"
            environment = installation.environment()
            app = bench.python("app", TRACK, "paced", str(events), str(rate), str(out), **environment)
            tracked = probe(producer, sizes.freshness_seconds)
            app.finish(GRACE_SECONDS)
            wait(lambda: len(alerts(receiver)) >= len(tracked), GRACE_SECONDS, "every alert", notifier.check)
        found = json.loads(out.read_bytes())
        wait(lambda: pipeline.counted() >= events, GRACE_SECONDS, "every event in the answers", pipeline.check)
        verdict = pipeline.verify(found)
        notifier.stop()
        pipeline.stop()
        waits = delays(receiver, tracked)
    bench.remove(installation)
    return Result(
        part="webhook",
        events=events,
        figures=[
            Figure("rate", "events per second that the app sent", events / (found["ended"] - found["began"])),
            Figure("alerts", "events that crossed a threshold", len(tracked)),
            Figure("p50", "event to webhook, median", percentile(waits, 50), "s"),
            Figure("p99", "event to webhook, 99th percentile", percentile(waits, 99), "s"),
            Figure("max", "event to webhook, longest", max(waits), "s"),
        ],
        check=f"{verdict}; {len(waits):,} events crossed a threshold, and each was told once",
        notes=["from track() in the app to the whole request at the receiver"],
    )


def warmed_up(producer: UsageProducer, receiver: Receiver) -> bool:
    """Whether an alert has come. What is judged while a worker hears of a limit waits for the API: there is none."""
    producer.track(f"{WARM_UP}-{time.time()}", PROBES, 1)
    return bool(receiver.calls)


def alerts(receiver: Receiver) -> list[tuple[str, float]]:
    """Tenant and time of every call, those of the warm-up aside."""
    found = [(str(json.loads(call.body)["tenant_id"]), call.at) for call in receiver.calls]
    return [(tenant, at) for tenant, at in found if not tenant.startswith(WARM_UP)]


def probe(producer: UsageProducer, seconds: float) -> dict[str, float]:
    """Cross the threshold of one new tenant after the other; when each event was tracked, by tenant."""
    tracked: dict[str, float] = {}
    began = time.time()
    while (passed := time.time() - began) < seconds:
        tenant = f"probe-{len(tracked)}"
        tracked[tenant] = time.time()
        producer.track(tenant, PROBES, 1)
        time.sleep(max(0.0, (len(tracked)) / PROBES_A_SECOND - passed))
    return tracked


def delays(receiver: Receiver, tracked: dict[str, float]) -> list[float]:
    """Seconds from event to call.

    Raises:
        CheckFailedError: a crossing was not told, or twice.
    """
    told = alerts(receiver)
    if sorted(tenant for tenant, _at in told) != sorted(tracked):
        raise CheckFailedError(f"{len(told)} calls for {len(tracked)} crossings, or others")
    return [at - tracked[tenant] for tenant, at in told]
