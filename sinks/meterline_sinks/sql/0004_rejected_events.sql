CREATE TABLE IF NOT EXISTS ${database}.rejected_events ${on_cluster}
(
    kafka_topic     LowCardinality(String) COMMENT 'Topic that the line came on',
    kafka_partition Int32                  COMMENT 'Partition of that topic',
    kafka_offset    Int64                  COMMENT 'Offset of its record',
    kafka_line      UInt32                 COMMENT 'Which line of that record, blank lines not counted, from 0',
    received_at     DateTime64(3, 'UTC')   COMMENT 'When the broker took it, by the clock of the broker',
    reason          LowCardinality(String) COMMENT 'Why it does not count: invalid_json, invalid_event, quantity_out_of_range, unknown_metric, too_old, in_future or duplicate',
    detail          String                 COMMENT 'The same for people, with what to do',
    tenant_id       String                 COMMENT 'Tenant, where the line could be read that far, or empty',
    metric          String                 COMMENT 'Metric, where the line could be read that far, or empty',
    id              String                 COMMENT 'Id of the event, where the line could be read that far, or empty',
    lines           UInt32 DEFAULT 1       COMMENT 'Number of lines that this row stands for; above 1 only for what exceeds the cap of lines of a record',
    raw             String CODEC(ZSTD(1))  COMMENT 'The first 64 KB of the line as it came',
    raw_encoding    LowCardinality(String) COMMENT 'utf-8, or base64 where the bytes are no text',
    raw_bytes       UInt64                 COMMENT 'Length of the whole line in bytes',
    raw_sha256      String                 COMMENT 'SHA-256 of the whole line, in hexadecimal',
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree
ORDER BY (kafka_topic, kafka_partition, kafka_offset, kafka_line)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Every line that does not count, with the reason: read it with FINAL';
