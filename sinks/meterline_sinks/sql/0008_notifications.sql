CREATE TABLE IF NOT EXISTS ${database}.notifications ${on_cluster}
(
    id              String                        COMMENT 'Derived from what happened: a repeat of the same has the same id',
    type            LowCardinality(String)        COMMENT 'What happened: threshold.approaching, threshold.exceeded, threshold.resolved, billing.threshold_exceeded, metric.defined, metric.updated, metric.deleted or usage.aggregated',
    occurred_at     DateTime64(3, 'UTC')          COMMENT 'When it was found',
    tenant_id       String                        COMMENT 'Whose usage it is about, or empty',
    threshold_id    String                        COMMENT 'Of threshold.*: id of the threshold',
    metric          String                        COMMENT 'Key of the metric, or empty',
    subject         String                        COMMENT 'Of threshold.*: user or project below the tenant, or empty for the tenant as a whole',
    usage           Nullable(Decimal(76, 9))      COMMENT 'Usage of the period so far when it was found',
    limit           Nullable(Decimal(38, 9))      COMMENT 'What usage is held against; write it in backticks',
    percent         Nullable(Decimal(76, 9))      COMMENT 'Usage in percent of the limit, cut to two decimals',
    step            Nullable(Decimal(38, 9))      COMMENT 'Percentage of the limit that was reached',
    period_start    Nullable(DateTime64(3, 'UTC')) COMMENT 'Start of the period that was counted',
    period_end      Nullable(DateTime64(3, 'UTC')) COMMENT 'End of the period, not included; NULL where it never ends',
    data            String                        COMMENT 'Everything that was told, as JSON',
    kafka_partition Int32                         COMMENT 'Partition of meterline.notifications',
    kafka_offset    Int64                         COMMENT 'Offset of the record there',
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it',
    precedence      UInt64 MATERIALIZED 9223372036854775807 - toUInt64(kafka_offset)
                    COMMENT 'Which of several rows of one id stands, in whatever order they are written: the first in Kafka'
)
ENGINE = ${replicated}ReplacingMergeTree(precedence)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What was told to others: alerts, changes of metrics, periods computed again. Read it with FINAL';
