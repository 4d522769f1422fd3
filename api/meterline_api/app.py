"""The application: its parts wired together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from meterline.connection import check
from meterline.ingest import Ingest
from meterline_api.access.desk import Access, tokens_of
from meterline_api.access.keys import pepper_from
from meterline_api.access.limiter import Limiter
from meterline_api.announce import Announcer
from meterline_api.audit.recorder import Recorder
from meterline_api.billing.accruals.reading import AccrualReader
from meterline_api.billing.census import BillingCensus
from meterline_api.billing.costs.costing import Costing
from meterline_api.billing.exceptions.looking import Exceptions
from meterline_api.billing.exporting.accounts import AccountSettings
from meterline_api.billing.exporting.asked import Sources
from meterline_api.billing.exporting.running import Exporting
from meterline_api.billing.exporting.settings import ExportSettings
from meterline_api.billing.exporting.stores import store_of
from meterline_api.billing.invoices.running import Invoices
from meterline_api.billing.jobs.alerts import alert
from meterline_api.billing.jobs.functions import functions_of
from meterline_api.billing.jobs.running import Jobs
from meterline_api.billing.jobs.settings import JobSettings
from meterline_api.billing.payments.desk import Desk as PaymentDesk
from meterline_api.billing.rendering.settings import DocumentSettings
from meterline_api.billing.settings import InvoiceSettings
from meterline_api.billing.stripe.items.running import ItemJobs
from meterline_api.billing.stripe.running import StripeJobs
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_api.by_catalog import BY_CATALOG
from meterline_api.calls import Calls
from meterline_api.catalog import Catalog, Follower
from meterline_api.census import Census
from meterline_api.clickhouse import ClickHouse
from meterline_api.documents.settling import Settling
from meterline_api.door import Window
from meterline_api.editor import Editor
from meterline_api.error_answers import answer_errors
from meterline_api.event_life.desk import Desk as EventDesk
from meterline_api.event_life.origins import Origins
from meterline_api.middleware import Outermost
from meterline_api.models import ProblemModel
from meterline_api.notifications.running import Notifications
from meterline_api.offsets import Offsets
from meterline_api.openapi import TAGS, describe, name_of
from meterline_api.openmeter.file import read_meters
from meterline_api.quotas.running import Quotas
from meterline_api.routes import (
    accruals,
    audit,
    billing_exceptions,
    billing_runs,
    daily_costs,
    dashboard,
    document1,
    document2,
    document3,
    document4,
    document5,
    estimates,
    event_life,
    events,
    exports,
    finance_exports,
    health,
    invoices,
    keys,
    metrics,
    notifications,
    openmeter,
    payments,
    plans,
    pricing,
    quota_check,
    quotas,
    rejected_events,
    revenue,
    storage,
    stripe_setup,
    stripe_webhook,
    tenant_plan,
    tenants,
    thresholds,
    usage,
    webhooks,
)
from meterline_api.service import Service
from meterline_api.settings import ApiSettings
from meterline_api.standstill import Standstill
from meterline_api.storage.running import Storage, provider_of
from meterline_api.storage.settings import StorageSettings
from meterline_api.watch import Group, Watch
from meterline_schemas import topics
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.catalog import ApiKey
from meterline_schemas.catalog.store import Store
from meterline_schemas.kafka_tail import KafkaTail
from meterline_schemas.settings import ClickHouseSettings, JudgeSettings, KafkaSettings


def create_app(
    settings: ApiSettings,
    kafka: KafkaSettings,
    clickhouse: ClickHouseSettings,
    judge: JudgeSettings,
    measuring: StorageSettings | None = None,
    billing_jobs: JobSettings | None = None,
    invoicing: InvoiceSettings | None = None,
    documents: DocumentSettings | None = None,
    stripe: StripeSettings | None = None,
    accounts: AccountSettings | None = None,
    exporting: ExportSettings | None = None,
) -> FastAPI:
    """The application; it reaches for Kafka and ClickHouse when its lifespan begins, and runs without them.

    Raises:
        ConfigurationError: settings that a client does not take.
    """
    check(kafka.client())
    tables = ClickHouse(clickhouse, settings.query_timeout)
    provider = provider_of(measuring) if measuring is not None else None
    exports_store = store_of(exporting) if exporting is not None else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        catalog = Catalog()
        ingest = Ingest(kafka.client(), kafka.topic(topics.EVENTS), timeout=settings.ack_timeout)
        follower = Follower(catalog, KafkaTail(kafka.client(), [kafka.topic(topics.CONFIG)]))
        watch = Watch(Offsets(kafka.client(), 5.0), tables, _groups(settings, kafka), settings.sample_seconds)
        window = Window(judge.accept_past, judge.accept_future)
        counting = Quotas(kafka, clickhouse, tables, catalog, lambda: follower.ready)
        app.state.service = Service(
            settings, window, kafka.topic(topics.EVENTS), ingest, catalog, tables, watch, counting.desk, judge
        )
        app.state.audit_log = AuditLog(kafka)
        app.state.recorder = Recorder(app.state.audit_log)
        app.state.editor = Editor(Store(kafka, app.state.audit_log), catalog, judge.denied_properties)
        app.state.announcer = Announcer(kafka)
        telling = Notifications(kafka, tables, catalog)
        app.state.notifications = telling.desk
        stored = Storage(measuring, provider, app.state.service, lambda: follower.ready)
        app.state.storage = stored.desk
        origins = Origins(kafka)
        app.state.event_life = EventDesk(tables, watch, origins)
        app.state.census = Census(tables)
        app.state.billing_census = BillingCensus(tables)
        app.state.settling = Settling(watch.passed_on, settings.read_back)
        app.state.invoices = Invoices(
            invoicing or InvoiceSettings(), kafka, clickhouse, catalog, watch, app.state.audit_log
        )
        app.state.closed_until = app.state.invoices.ledger.closed_until
        app.state.costing = Costing(app.state.invoices, app.state.audit_log, lambda: catalog.book)
        app.state.accruals = AccrualReader(app.state.invoices, lambda: catalog.book)
        app.state.exceptions = Exceptions(
            app.state.invoices,
            lambda: catalog.book,
            lambda: app.state.billing_jobs.ledger.read(),
            stripe or StripeSettings(),
            kafka,
            app.state.audit_log,
        )
        sources = Sources(
            app.state.invoices.tables, accounts or AccountSettings(), app.state.accruals, app.state.exceptions
        )
        app.state.exporting = Exporting(sources, exporting or ExportSettings(), exports_store)
        app.state.catalog_ready = lambda: follower.ready
        app.state.stripe = StripeJobs(
            stripe or StripeSettings(),
            kafka,
            catalog,
            watch,
            app.state.audit_log,
            app.state.invoices.tables.rows_now,
            lambda: app.state.billing_jobs.ledger.read(),
        )
        app.state.payments = PaymentDesk(
            stripe or StripeSettings(), kafka, app.state.audit_log, catalog, lambda: follower.ready
        )
        app.state.invoice_items = ItemJobs(
            stripe or StripeSettings(),
            kafka,
            catalog,
            app.state.audit_log,
            app.state.invoices.tables,
            app.state.stripe.reconcile,
        )
        app.state.billing_jobs = Jobs(
            billing_jobs,
            kafka,
            app.state.audit_log,
            functions_of(app),
            lambda run: alert(run, catalog.partitions),
        )
        app.state.recorder.start()
        follower.start()
        watch.start()
        counting.start()
        telling.start()
        stored.start()
        app.state.billing_jobs.start()
        yield
        app.state.billing_jobs.stop()
        app.state.payments.close()
        app.state.exceptions.close()
        app.state.invoices.close()
        stored.stop()
        telling.stop()
        counting.stop()
        watch.stop()
        follower.stop()
        app.state.editor.close()
        app.state.recorder.stop()
        app.state.announcer.close()
        await ingest.close()
        origins.close()
        tables.close()

    app = FastAPIOffline(
        title="Meterline",
        description="Usage events in, exact usage out. Every event that was answered with `accepted` counts once.",
        version="1",
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # looked for at each request; /metrics has ours
        responses={500: {"model": ProblemModel, "description": "The server failed."}},
        docs_url="/docs",
        redoc_url=None,
        openapi_tags=TAGS,
        generate_unique_id_function=name_of,
    )
    root_key = settings.key.get_secret_value().encode()
    app.state.pepper = settings.key_pepper.get_secret_value().encode() or pepper_from(root_key)
    app.state.documents = documents or DocumentSettings()
    app.state.openmeter = read_meters(settings.openmeter_meters)
    app.state.limiter = Limiter(settings.caller_limit, settings.tenant_limit, settings.limit_storage)
    app.state.access = Access(
        root_key, app.state.pepper, lambda id: app.state.service.catalog.find(ApiKey, id), tokens_of(settings)
    )
    api = (
        events,
        event_life,
        rejected_events,
        usage,
        exports,
        finance_exports,
        metrics,
        quota_check,
        quotas,
        thresholds,
        plans,
        pricing,
        tenant_plan,  # before tenants, whose ids may have slashes
        invoices,
        estimates,
        tenants,
        webhooks,
        keys,
        notifications,
        audit,
        storage,
        billing_runs,
        daily_costs,
        accruals,
        revenue,
        billing_exceptions,
        payments,
        stripe_setup,
        stripe_webhook,
        openmeter,
        document1,
        document2,
        document3,
        document4,
        dashboard,
        document5,
        health,
    )
    whole = (estimates, accruals, billing_exceptions, dashboard)
    for part in api:
        app.include_router(part.router, dependencies=[BY_CATALOG] if part in whole else [])
    answer_errors(app)
    if settings.track_calls:
        app.add_middleware(Calls, metric=settings.track_calls)
    app.add_middleware(Outermost)
    describe(app)
    return app


def _groups(settings: ApiSettings, kafka: KafkaSettings) -> dict[str, Group]:
    read = {
        "streams": (topics.STREAM_GROUP, [topics.EVENTS]),
        "sinks": (topics.SINK_GROUP, [topics.ACCEPTED, topics.REJECTED, topics.TOTALS, topics.NOTIFICATIONS]),
    }
    return {
        name: Group(kafka.topic(group), [kafka.topic(topic) for topic in names], Standstill(settings.stuck_after))
        for name, (group, names) in read.items()
    }
