CREATE TABLE IF NOT EXISTS ${database}.usage_progress ${on_cluster}
(
    topic            LowCardinality(String) COMMENT 'usage.accepted, usage.rejected or usage.totals',
    kafka_partition  Int32                  COMMENT 'Partition of usage.events',
    next_offset      UInt64                 COMMENT 'Every line of usage.events before this offset is judged, and what the topic says of it is in this database',
    received_until   DateTime64(3, 'UTC')   COMMENT 'Latest time that the broker took one of these lines',
    latest_timestamp DateTime64(3, 'UTC')   COMMENT 'Latest event time among the accepted ones',
    lines            UInt64                 COMMENT 'Lines judged since the partition began: accepted + rejected + forwarded',
    accepted         UInt64                 COMMENT 'Of these, events that count',
    late             UInt64                 COMMENT 'Of the accepted ones, those that are late',
    rejected         UInt64                 COMMENT 'Of these, lines that do not count',
    forwarded        UInt64                 COMMENT 'Of these, lines sent on to the partition that they belong to',
    inserted_at      DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here'
)
ENGINE = ${replicated}ReplacingMergeTree(next_offset)
ORDER BY (topic, kafka_partition)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'How far each topic is written here: read usage_freshness for answers';
