-- What each tenant's days cost, by metric. One record is one row with all lines of a day, so that a line that is gone
-- goes with the row that a later record replaces.

CREATE TABLE IF NOT EXISTS ${database}.daily_costs_raw ${on_cluster}
(
    tenant_id    String COMMENT 'Who is billed',
    day          Date   COMMENT 'The UTC day',
    lines        Array(Tuple(
        kind         String,
        metric       String,
        plan         String,
        currency     String,
        period_start DateTime64(3, 'UTC'),
        period_end   DateTime64(3, 'UTC'),
        unit         String,
        quantity     Decimal(38, 9),
        cost         Decimal(76, 18)
    ))                  COMMENT 'What it is made of: a row of daily_costs each',
    fingerprint  String COMMENT 'Days with the same one have the same lines; empty: none',
    computed_at  DateTime64(3, 'UTC') COMMENT 'When it was computed',
    kafka_offset UInt64 COMMENT 'Offset in billing.costs; of the rows of one key the highest stands',
    inserted_at  DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree(kafka_offset)
PARTITION BY toYYYYMM(day)
ORDER BY (tenant_id, day)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What each day of a tenant costs, a row each: read daily_costs';

CREATE VIEW IF NOT EXISTS ${database}.daily_costs ${on_cluster}
(
    tenant_id    String              COMMENT 'Who is billed',
    day          Date                COMMENT 'The UTC day',
    kind         String              COMMENT 'base_fee or usage',
    metric       String              COMMENT 'Key of the metric; empty for a base fee',
    plan         String              COMMENT 'Id of the plan that it is priced by',
    currency     String              COMMENT 'ISO 4217 code of the cost',
    period_start DateTime64(3, 'UTC') COMMENT 'Start of the period that the day is a part of',
    period_end   DateTime64(3, 'UTC') COMMENT 'End of the period, not included',
    unit         String              COMMENT 'Unit of the quantity',
    quantity     Decimal(38, 9)      COMMENT 'What the day added to the number of the metric that is charged',
    cost         Decimal(76, 18)     COMMENT 'What the day added to the price of its period, not rounded: the days of a period sum to it',
    computed_at  DateTime64(3, 'UTC') COMMENT 'When it was computed; it is computed anew where usage comes later'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    c.tenant_id AS tenant_id, c.day AS day, l.kind AS kind, l.metric AS metric, l.plan AS plan,
    l.currency AS currency, l.period_start AS period_start, l.period_end AS period_end, l.unit AS unit,
    l.quantity AS quantity, l.cost AS cost, c.computed_at AS computed_at
FROM ${database}.daily_costs_raw AS c FINAL ARRAY JOIN c.lines AS l
COMMENT 'What each UTC day cost by tenant and metric, up to yesterday';
