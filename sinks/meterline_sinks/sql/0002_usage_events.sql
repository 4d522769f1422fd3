CREATE VIEW IF NOT EXISTS ${database}.usage_events ${on_cluster}
(
    tenant_id       String                              COMMENT 'Who is billed',
    metric          LowCardinality(String)              COMMENT 'Key of the metric',
    timestamp       DateTime64(3, 'UTC')                COMMENT 'When it happened, as the producer says, cut to milliseconds',
    id              String                              COMMENT 'Made once by the producer and kept on retries; unique within the tenant',
    quantity        Decimal(38, 9)                      COMMENT 'How much was used, exact; its unit is the unit of the metric',
    subject         String                              COMMENT 'User or project below the tenant, or empty',
    source          LowCardinality(String)              COMMENT 'The application that saw it, or empty',
    properties      Map(LowCardinality(String), String) COMMENT 'Dimensions to group and filter by, all as text',
    late            UInt8                               COMMENT '1: it arrived so late that it was added to the totals afterwards',
    received_at     DateTime64(3, 'UTC')                COMMENT 'When the broker took it, by the clock of the broker',
    inserted_at     DateTime64(3, 'UTC')                COMMENT 'When its row was written here',
    kafka_partition Int32                               COMMENT 'Partition of usage.events that it was judged on',
    kafka_offset    Int64                               COMMENT 'Offset of its record there',
    kafka_line      UInt32                              COMMENT 'Which line of that record, blank lines not counted, from 0'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    tenant_id, metric, timestamp, id, quantity, subject, source, properties, late,
    received_at, inserted_at, kafka_partition, kafka_offset, kafka_line
FROM ${database}.usage_events_raw FINAL
COMMENT 'Every event that counts, each exactly once';
