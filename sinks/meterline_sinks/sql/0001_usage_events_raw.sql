CREATE TABLE IF NOT EXISTS ${database}.usage_events_raw ${on_cluster}
(
    tenant_id       String                              COMMENT 'Who is billed',
    metric          LowCardinality(String)              COMMENT 'Key of the metric',
    timestamp       DateTime64(3, 'UTC')                COMMENT 'When it happened, as the producer says, cut to milliseconds',
    id              String                              COMMENT 'Made once by the producer and kept on retries; unique within the tenant',
    quantity        Decimal(38, 9)                      COMMENT 'How much was used, exact; its unit is the unit of the metric',
    subject         String                              COMMENT 'User or project below the tenant, or empty',
    source          LowCardinality(String)              COMMENT 'The application that saw it, or empty',
    properties      Map(LowCardinality(String), String) COMMENT 'Dimensions to group and filter by, all as text',
    late            UInt8                               COMMENT '1: so old when it arrived that it is not in usage_totals; the views add it',
    kafka_partition Int32                               COMMENT 'Partition of usage.events that it was judged on',
    kafka_offset    Int64                               COMMENT 'Offset of its record there',
    kafka_line      UInt32                              COMMENT 'Which line of that record, blank lines not counted, from 0',
    received_at     DateTime64(3, 'UTC')                COMMENT 'When the broker took it, by the clock of the broker',
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it',
    on_time         UInt8 ALIAS 1 - late                COMMENT '1 - late',
    precedence      UInt64 MATERIALIZED bitOr(bitShiftLeft(toUInt64(1 - late), 63), 9223372036854775807 - toUInt64(kafka_offset))
                    COMMENT 'Which of several rows of one event stands, in whatever order they are written: on time before late, then the first in Kafka',
    INDEX late_rows late TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree(precedence)
PARTITION BY toYYYYMM(timestamp)
ORDER BY (tenant_id, metric, timestamp, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Every event that counts, as it was written: read it with FINAL, or read usage_events, or repeats show';
