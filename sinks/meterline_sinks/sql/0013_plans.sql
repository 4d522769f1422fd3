-- What usage costs and who is on which plan, as dimensions to join, and how a tenant is billed. One record of a plan is
-- one row with all of its terms, so that a charge that is gone goes with the row that a later record replaces.

ALTER TABLE ${database}.tenants ${on_cluster}
    ADD COLUMN IF NOT EXISTS billing LowCardinality(String) DEFAULT 'invoice' COMMENT 'How it is charged: none, invoice, or at Stripe meter or invoice_items' AFTER billing_anchor,
    ADD COLUMN IF NOT EXISTS stripe_customer String COMMENT 'Id of the customer at Stripe, or empty' AFTER billing,
    ADD COLUMN IF NOT EXISTS excluded String COMMENT 'Why nothing of it is ever invoiced; empty: it is' AFTER stripe_customer;

CREATE TABLE IF NOT EXISTS ${database}.plans_raw ${on_cluster}
(
    id           String                 COMMENT 'Id of the plan',
    name         String                 COMMENT 'Name for people',
    description  String                 COMMENT 'What it is, for people',
    currency     LowCardinality(String) COMMENT 'ISO 4217 code of everything that it costs',
    period       LowCardinality(String) COMMENT 'What an invoice is of: daily, monthly or billing',
    terms        Array(Tuple(
        plan_version       UInt32,
        start              Nullable(DateTime64(3, 'UTC')),
        until              Nullable(DateTime64(3, 'UTC')),
        base_fee           Decimal(38, 9),
        metric             String,
        charge_name        String,
        charge_description String,
        measure            String,
        included           Decimal(38, 9),
        discount_percent   Decimal(38, 9),
        minimum            Nullable(Decimal(38, 9)),
        cap                Nullable(Decimal(38, 9)),
        model              String,
        unit_price         Nullable(Decimal(38, 9)),
        per                Nullable(Decimal(38, 9)),
        price              String
    ))                                  COMMENT 'Its versions, each with its charges: a row of plans each',
    version      UInt64                 COMMENT 'Number of its changes, from 1',
    changed_at   Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was last changed',
    kafka_offset UInt64                 COMMENT 'Offset in meterline.config; of the rows of one key the highest stands',
    is_deleted   UInt8                  COMMENT '1: it was deleted; reads with FINAL do not show it',
    inserted_at  DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree(kafka_offset, is_deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Plans, a row each: read plans';

CREATE VIEW IF NOT EXISTS ${database}.plans ${on_cluster}
(
    id                 String                           COMMENT 'Id of the plan, as `plan` in the other tables',
    plan_version       UInt32                           COMMENT 'Number of the version of its terms, from 1',
    metric             String                           COMMENT 'Key of the metric that is charged; empty in the one row of a version without charges',
    name               String                           COMMENT 'Name of the plan for people',
    description        String                           COMMENT 'What the plan is, for people',
    currency           LowCardinality(String)           COMMENT 'ISO 4217 code of every amount in the row',
    period             LowCardinality(String)           COMMENT 'What an invoice is of: daily, monthly or billing',
    start              Nullable(DateTime64(3, 'UTC'))   COMMENT 'When this version begins; NULL: it is the first',
    until              Nullable(DateTime64(3, 'UTC'))   COMMENT 'When the next version begins; NULL: there is none',
    base_fee           Decimal(38, 9)                   COMMENT 'What a whole period costs without any usage; of the plan, not of the charge',
    charge_name        String                           COMMENT 'Name of the charge for people',
    charge_description String                           COMMENT 'What is charged, for people',
    measure            String                           COMMENT 'as_metered, or unit_months: unit x hours by the hours of their month',
    included           Decimal(38, 9)                   COMMENT 'How much of the metric is not charged',
    discount_percent   Decimal(38, 9)                   COMMENT 'What is taken off the amount, in percent',
    minimum            Nullable(Decimal(38, 9))         COMMENT 'The least amount of a period; NULL: none',
    cap                Nullable(Decimal(38, 9))         COMMENT 'The greatest amount of a period; NULL: none',
    model              String                           COMMENT 'per_unit, package, graduated, volume, tiered_flat or percentage',
    unit_price         Nullable(Decimal(38, 9))         COMMENT 'Of per_unit: the price of `per` units; NULL for other models',
    per                Nullable(Decimal(38, 9))         COMMENT 'Of per_unit: how many units cost `unit_price`; NULL for other models',
    price              String                           COMMENT 'The price as JSON, whatever its model',
    version            UInt64                           COMMENT 'Number of changes of the plan, from 1',
    changed_at         Nullable(DateTime64(3, 'UTC'))   COMMENT 'When the plan was last changed'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    p.id AS id,
    tupleElement(t, 'plan_version') AS plan_version,
    tupleElement(t, 'metric') AS metric,
    p.name AS name,
    p.description AS description,
    p.currency AS currency,
    p.period AS period,
    tupleElement(t, 'start') AS start,
    tupleElement(t, 'until') AS until,
    tupleElement(t, 'base_fee') AS base_fee,
    tupleElement(t, 'charge_name') AS charge_name,
    tupleElement(t, 'charge_description') AS charge_description,
    tupleElement(t, 'measure') AS measure,
    tupleElement(t, 'included') AS included,
    tupleElement(t, 'discount_percent') AS discount_percent,
    tupleElement(t, 'minimum') AS minimum,
    tupleElement(t, 'cap') AS cap,
    tupleElement(t, 'model') AS model,
    tupleElement(t, 'unit_price') AS unit_price,
    tupleElement(t, 'per') AS per,
    tupleElement(t, 'price') AS price,
    p.version AS version,
    p.changed_at AS changed_at
FROM ${database}.plans_raw AS p FINAL
ARRAY JOIN p.terms AS t
COMMENT 'What usage costs: a row for each charge of each version of a plan';

CREATE TABLE IF NOT EXISTS ${database}.tenant_plans_raw ${on_cluster}
(
    tenant_id    String COMMENT 'Id of the tenant',
    spans        Array(Tuple(
        start DateTime64(3, 'UTC'),
        until Nullable(DateTime64(3, 'UTC')),
        plan  String
    ))                  COMMENT 'Which plans it was, is and will be on: a row of tenant_plans each',
    version      UInt64 COMMENT 'Number of its changes, from 1',
    changed_at   Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was last changed',
    kafka_offset UInt64 COMMENT 'Offset in meterline.config; of the rows of one key the highest stands',
    is_deleted   UInt8  COMMENT '1: it was deleted; reads with FINAL do not show it',
    inserted_at  DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree(kafka_offset, is_deleted)
ORDER BY tenant_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Plans of tenants, a row for each tenant: read tenant_plans';

CREATE VIEW IF NOT EXISTS ${database}.tenant_plans ${on_cluster}
(
    tenant_id  String                         COMMENT 'Id of the tenant',
    plan       String                         COMMENT 'Id of the plan that it is on; empty: on none',
    start      DateTime64(3, 'UTC')           COMMENT 'From when',
    until      Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when; NULL: for now without an end',
    version    UInt64                         COMMENT 'Number of changes of the plans of the tenant, from 1',
    changed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When they were last changed'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    p.tenant_id AS tenant_id,
    tupleElement(s, 'plan') AS plan,
    tupleElement(s, 'start') AS start,
    tupleElement(s, 'until') AS until,
    p.version AS version,
    p.changed_at AS changed_at
FROM ${database}.tenant_plans_raw AS p FINAL
ARRAY JOIN p.spans AS s
COMMENT 'Which plan a tenant was, is and will be on: a row for each time';
