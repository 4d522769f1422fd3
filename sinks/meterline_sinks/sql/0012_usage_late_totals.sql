-- Late events are no part of usage_totals. Read one by one from the raw table, which is sorted by tenant, they made a
-- question about everybody read a month of it: so the sink keeps totals of them, and the views add these.

CREATE TABLE IF NOT EXISTS ${database}.usage_late_totals ${on_cluster}
(
    tenant_id       String                 COMMENT 'Who is billed',
    metric          LowCardinality(String) COMMENT 'Key of the metric',
    hour            DateTime('UTC')        COMMENT 'Start of the hour that the events happened in',
    count           UInt64                 COMMENT 'Number of late events; of the rows of one key the one with most stands: late events only become more',
    sum             Decimal(76, 9)         COMMENT 'Sum of their quantities',
    min             Decimal(38, 9)         COMMENT 'Least quantity',
    max             Decimal(38, 9)         COMMENT 'Greatest quantity',
    last            Decimal(38, 9)         COMMENT 'Quantity of the event with the greatest (timestamp, id)',
    last_timestamp  DateTime64(3, 'UTC')   COMMENT 'Timestamp of that event',
    last_id         String                 COMMENT 'Id of that event',
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree(count)
PARTITION BY toYYYYMM(hour)
ORDER BY (tenant_id, metric, hour)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Totals of the late events of each hour, as the sink adds them up from usage_events_raw: read usage_hourly for answers';

${sync_events};

INSERT INTO ${database}.usage_late_totals
    (tenant_id, metric, hour, count, sum, min, max, last, last_timestamp, last_id)
SELECT
    tenant_id, metric, toStartOfHour(timestamp) AS hour, count(), sum(toDecimal256(quantity, 9)), min(quantity), max(quantity),
    argMax(quantity, (timestamp, id)), max(timestamp), argMax(id, (timestamp, id))
FROM ${database}.usage_events_raw FINAL
WHERE late = 1
GROUP BY tenant_id, metric, hour
SETTINGS max_execution_time = 0, max_partitions_per_insert_block = 0, insert_deduplicate = 0;

CREATE OR REPLACE VIEW ${database}.usage_parts ${on_cluster}
(
    tenant_id      String                 COMMENT 'Who is billed',
    metric         LowCardinality(String) COMMENT 'Key of the metric',
    hour           DateTime('UTC')        COMMENT 'Start of the hour that the events happened in',
    count          UInt64                 COMMENT 'Number of events in this part',
    sum            Decimal(76, 9)         COMMENT 'Sum of their quantities',
    min            Decimal(38, 9)         COMMENT 'Least quantity',
    max            Decimal(38, 9)         COMMENT 'Greatest quantity',
    last           Decimal(38, 9)         COMMENT 'Quantity of the event with the greatest (timestamp, id)',
    last_timestamp DateTime64(3, 'UTC')   COMMENT 'Timestamp of that event',
    last_id        String                 COMMENT 'Id of that event'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT tenant_id, metric, hour, count, sum, min, max, last, last_timestamp, last_id
FROM ${database}.usage_totals FINAL
UNION ALL
SELECT tenant_id, metric, hour, count, sum, min, max, last, last_timestamp, last_id
FROM ${database}.usage_late_totals FINAL
COMMENT 'What usage_hourly, usage_daily and usage_monthly are folded from: a row per total, those of late events apart';
