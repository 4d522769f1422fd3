-- What is configured, as dimensions to join. A row is replaced by a later record of its key, whichever is written last.
-- Where an entry was deleted the row that says so stays, and reads with FINAL do not show it.

CREATE TABLE IF NOT EXISTS ${database}.metrics_raw ${on_cluster}
(
    key            String                 COMMENT 'Key of the metric',
    deleted        UInt8                  COMMENT '0: its definition. 1: that it was deleted, with nothing else',
    name           String                 COMMENT 'Name for people',
    description    String                 COMMENT 'What it counts',
    unit           String                 COMMENT 'Unit of its quantities',
    aggregation    LowCardinality(String) COMMENT 'What its number is: count, sum, avg, min, max, last, time_weighted, unique_count, p50, p75, p90, p95 or p99',
    reset_period   LowCardinality(String) COMMENT 'How often counting begins anew: never, hourly, daily or monthly',
    tenant_id      String                 COMMENT 'The only tenant that has it, or empty for all',
    unique_by      String                 COMMENT 'Of unique_count: the property that is counted, or subject',
    group_by       Array(String)          COMMENT 'Properties that reports may group by',
    allow_negative UInt8                  COMMENT '1: quantities below 0 are taken',
    retired        UInt8                  COMMENT '1: no longer offered; what comes still counts',
    version        UInt64                 COMMENT 'Number of its changes, from 1',
    changed_at     Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was last changed',
    kafka_offset   UInt64                 COMMENT 'Offset in meterline.config; of the rows of one key the highest stands',
    inserted_at    DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree(kafka_offset)
ORDER BY (key, deleted)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Definitions of metrics and their deletions apart, so that a deleted one keeps its name: read metrics';

CREATE VIEW IF NOT EXISTS ${database}.metrics ${on_cluster}
(
    key            String                 COMMENT 'Key of the metric, as `metric` in the other tables',
    name           String                 COMMENT 'Name for people',
    description    String                 COMMENT 'What it counts',
    unit           String                 COMMENT 'Unit of its quantities',
    aggregation    LowCardinality(String) COMMENT 'What its number is: count, sum, avg, min, max, last, time_weighted, unique_count, p50, p75, p90, p95 or p99',
    reset_period   LowCardinality(String) COMMENT 'How often counting begins anew: never, hourly, daily or monthly',
    tenant_id      String                 COMMENT 'The only tenant that has it, or empty for all',
    unique_by      String                 COMMENT 'Of unique_count: the property that is counted, or subject',
    group_by       Array(String)          COMMENT 'Properties that reports may group by',
    allow_negative UInt8                  COMMENT '1: quantities below 0 are taken',
    retired        UInt8                  COMMENT '1: no longer offered, or deleted; what comes still counts',
    version        UInt64                 COMMENT 'Number of its changes, from 1; 0 where it was deleted and its definition is gone',
    changed_at     Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was last changed'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    m.key AS key,
    anyIf(m.name, m.deleted = 0) AS name,
    anyIf(m.description, m.deleted = 0) AS description,
    anyIf(m.unit, m.deleted = 0) AS unit,
    anyIf(m.aggregation, m.deleted = 0) AS aggregation,
    anyIf(m.reset_period, m.deleted = 0) AS reset_period,
    anyIf(m.tenant_id, m.deleted = 0) AS tenant_id,
    anyIf(m.unique_by, m.deleted = 0) AS unique_by,
    anyIf(m.group_by, m.deleted = 0) AS group_by,
    anyIf(m.allow_negative, m.deleted = 0) AS allow_negative,
    toUInt8(argMax(m.retired OR m.deleted, m.kafka_offset)) AS retired,
    anyIf(m.version, m.deleted = 0) AS version,
    anyIf(m.changed_at, m.deleted = 0) AS changed_at
FROM ${database}.metrics_raw AS m FINAL
GROUP BY m.key
COMMENT 'Every metric that was ever defined, one row each';

CREATE TABLE IF NOT EXISTS ${database}.quotas ${on_cluster}
(
    tenant_id      String                    COMMENT 'Whose quota it is; empty: of every tenant that has none of its own for the metric',
    metric         String                    COMMENT 'Key of the metric',
    subject        String                    COMMENT 'User or project below the tenant, or empty for the tenant as a whole',
    included       Decimal(38, 9)            COMMENT 'How much of a period is included',
    price_per_unit Nullable(Decimal(38, 9))  COMMENT 'What a unit beyond costs, in units of the currency; NULL: no price',
    currency       LowCardinality(String)    COMMENT 'ISO 4217, or empty',
    period         LowCardinality(String)    COMMENT 'never, hourly, daily, monthly or billing; empty: the reset period of the metric',
    time_zone      String                    COMMENT 'Zone of the period; empty: that of the tenant',
    version        UInt64                    COMMENT 'Number of its changes, from 1',
    changed_at     Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was last changed',
    kafka_offset   UInt64                    COMMENT 'Offset in meterline.config; of the rows of one key the highest stands',
    is_deleted     UInt8                     COMMENT '1: it was deleted; reads with FINAL do not show it',
    inserted_at    DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree(kafka_offset, is_deleted)
ORDER BY (tenant_id, metric, subject)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'How much is included, and what lies beyond costs: read it with FINAL';

CREATE TABLE IF NOT EXISTS ${database}.thresholds ${on_cluster}
(
    id           String                    COMMENT 'Id of the threshold',
    metric       String                    COMMENT 'Key of the metric',
    tenant_id    String                    COMMENT 'Whose threshold it is; empty: of every tenant that has none of its own for the metric',
    subject      String                    COMMENT 'User or project below the tenant, or empty for the tenant as a whole',
    amount       Nullable(Decimal(38, 9))  COMMENT 'What its steps are percent of; NULL: of what the quota includes',
    steps        Array(Decimal(38, 9))     COMMENT 'Percentages that are told when reached',
    action       LowCardinality(String)    COMMENT 'alert, block (alerts, and refuses at 100 percent) or none',
    period       LowCardinality(String)    COMMENT 'never, hourly, daily, monthly or billing; empty: that of the quota or metric',
    time_zone    String                    COMMENT 'Zone of the period; empty: that of the quota or tenant',
    version      UInt64                    COMMENT 'Number of its changes, from 1',
    changed_at   Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was last changed',
    kafka_offset UInt64                    COMMENT 'Offset in meterline.config; of the rows of one key the highest stands',
    is_deleted   UInt8                     COMMENT '1: it was deleted; reads with FINAL do not show it',
    inserted_at  DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree(kafka_offset, is_deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'How much usage somebody is told of, without whom it is told: read it with FINAL';

CREATE TABLE IF NOT EXISTS ${database}.tenants ${on_cluster}
(
    id             String                 COMMENT 'Id of the tenant, as `tenant_id` in the other tables',
    name           String                 COMMENT 'Name for people',
    time_zone      String                 COMMENT 'IANA name of the zone that its periods follow',
    billing_anchor UInt8                  COMMENT 'Day of the month that a billing period begins on',
    version        UInt64                 COMMENT 'Number of its changes, from 1',
    changed_at     Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was last changed',
    kafka_offset   UInt64                 COMMENT 'Offset in meterline.config; of the rows of one key the highest stands',
    is_deleted     UInt8                  COMMENT '1: it was deleted; reads with FINAL do not show it',
    inserted_at    DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree(kafka_offset, is_deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Tenants that something is known of; one that is not listed is counted as well: read it with FINAL';
