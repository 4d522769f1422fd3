-- What Stripe was told of each day, what billing's jobs did, and from when on meters charge a tenant.

ALTER TABLE ${database}.tenants ${on_cluster}
    ADD COLUMN IF NOT EXISTS metered_since Nullable(Date32) COMMENT 'The UTC day from which on meters at Stripe charge it; what was used before is invoiced' AFTER stripe_customer;

CREATE TABLE IF NOT EXISTS ${database}.stripe_pushes_raw ${on_cluster}
(
    tenant_id    String                 COMMENT 'Who is billed',
    metric       LowCardinality(String) COMMENT 'Key of the metric',
    day          Date32                 COMMENT 'The UTC day',
    customer     String                 COMMENT 'Id of the customer at Stripe',
    meter        String                 COMMENT 'Id of the meter at Stripe',
    revision     UInt32                 COMMENT 'How many values the day had, from 1',
    value        Int64                  COMMENT 'The total of the day, in the smallest parts of the meter',
    state        LowCardinality(String) COMMENT 'intent, delivered or refused',
    at           Nullable(DateTime64(3, 'UTC')) COMMENT 'Since when',
    detail       String                 COMMENT 'What Stripe says of it, where it was refused',
    request_id   String                 COMMENT 'Id of the request at Stripe',
    kafka_offset UInt64                 COMMENT 'Offset in billing.pushes; of the rows of one key the highest stands',
    inserted_at  DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree(kafka_offset)
PARTITION BY toYYYYMM(day)
ORDER BY (tenant_id, metric, day, customer, meter)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What Stripe was told of each customer, meter and day: read stripe_pushes';

CREATE TABLE IF NOT EXISTS ${database}.billing_runs_raw ${on_cluster}
(
    job          LowCardinality(String) COMMENT 'Which job, such as push',
    due          DateTime('UTC')        COMMENT 'The instant that it was due at',
    state        LowCardinality(String) COMMENT 'running, done, failed or lost',
    owner        String                 COMMENT 'Host, process id and mark of whoever did it last',
    begun_at     DateTime64(3, 'UTC')   COMMENT 'When that began',
    seen_at      DateTime64(3, 'UTC')   COMMENT 'When its owner was last heard of',
    ended_at     Nullable(DateTime64(3, 'UTC')) COMMENT 'When it ended',
    asked_by     String                 COMMENT 'Who asked for it; empty: the schedule',
    result       Map(String, String)    COMMENT 'Its numbers by name',
    problems     Array(String)          COMMENT 'What it could not do, each in a sentence',
    kafka_offset UInt64                 COMMENT 'Offset in billing.runs; of the rows of one key the highest stands',
    inserted_at  DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree(kafka_offset)
ORDER BY (job, due)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Runs of the jobs of billing: read billing_runs';

CREATE VIEW IF NOT EXISTS ${database}.stripe_pushes ${on_cluster}
(
    tenant_id  String                 COMMENT 'Who is billed',
    metric     LowCardinality(String) COMMENT 'Key of the metric',
    day        Date32                 COMMENT 'The UTC day',
    customer   String                 COMMENT 'Id of the customer at Stripe',
    meter      String                 COMMENT 'Id of the meter at Stripe',
    revision   UInt32                 COMMENT 'How many values the day had, from 1',
    identifier String                 COMMENT 'What Stripe knows the push by',
    value      Int64                  COMMENT 'The total of the day, in the smallest parts of the meter',
    state      LowCardinality(String) COMMENT 'intent: there is no answer yet; delivered; refused: detail says why',
    at         Nullable(DateTime64(3, 'UTC')) COMMENT 'Since when',
    detail     String                 COMMENT 'What Stripe says of it, where it was refused',
    request_id String                 COMMENT 'Id of the request at Stripe'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    p.tenant_id AS tenant_id, p.metric AS metric, p.day AS day, p.customer AS customer, p.meter AS meter,
    p.revision AS revision,
    concat(p.customer, ':', p.meter, ':', toString(p.day), ':r', toString(p.revision)) AS identifier,
    p.value AS value, p.state AS state, p.at AS at, p.detail AS detail, p.request_id AS request_id
FROM ${database}.stripe_pushes_raw AS p FINAL
COMMENT 'The last push of each customer, meter and day to Stripe, and what became of it';

CREATE VIEW IF NOT EXISTS ${database}.billing_runs ${on_cluster}
(
    job      LowCardinality(String) COMMENT 'Which job, such as push',
    due      DateTime('UTC')        COMMENT 'The instant that it was due at',
    state    LowCardinality(String) COMMENT 'running, done, failed or lost; one that runs and was not seen for long may be lost',
    owner    String                 COMMENT 'Host, process id and mark of whoever did it last',
    begun_at DateTime64(3, 'UTC')   COMMENT 'When that began',
    seen_at  DateTime64(3, 'UTC')   COMMENT 'When its owner was last heard of',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it ended',
    asked_by String                 COMMENT 'Who asked for it; empty: the schedule',
    result   Map(String, String)    COMMENT 'Its numbers by name',
    problems Array(String)          COMMENT 'What it could not do, each in a sentence'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    r.job AS job, r.due AS due, r.state AS state, r.owner AS owner, r.begun_at AS begun_at, r.seen_at AS seen_at,
    r.ended_at AS ended_at, r.asked_by AS asked_by, r.result AS result, r.problems AS problems
FROM ${database}.billing_runs_raw AS r FINAL
COMMENT 'Each run of the jobs of billing, and what came of it';
