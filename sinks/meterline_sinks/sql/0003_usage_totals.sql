CREATE TABLE IF NOT EXISTS ${database}.usage_totals ${on_cluster}
(
    tenant_id       String                 COMMENT 'Who is billed',
    metric          LowCardinality(String) COMMENT 'Key of the metric',
    hour            DateTime('UTC')        COMMENT 'Start of the hour that the events happened in',
    kafka_partition Int32                  COMMENT 'Partition of usage.events that was counted; one tenant lives on one',
    version         UInt64                 COMMENT 'Offset in usage.events up to which this row counts; of the rows of one key the highest stands',
    count           UInt64                 COMMENT 'Number of events, without late ones',
    sum             Decimal(76, 9)         COMMENT 'Sum of their quantities',
    min             Decimal(38, 9)         COMMENT 'Least quantity',
    max             Decimal(38, 9)         COMMENT 'Greatest quantity',
    last            Decimal(38, 9)         COMMENT 'Quantity of the event with the greatest (timestamp, id)',
    last_timestamp  DateTime64(3, 'UTC')   COMMENT 'Timestamp of that event',
    last_id         String                 COMMENT 'Id of that event',
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (tenant_id, metric, hour, kafka_partition)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Running totals of each hour as the stream counts them, without late events: read usage_hourly for answers';
