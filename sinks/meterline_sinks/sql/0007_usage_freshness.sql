CREATE VIEW IF NOT EXISTS ${database}.usage_freshness ${on_cluster}
(
    kafka_partition     Int32               COMMENT 'Partition of usage.events',
    complete_to_offset  UInt64              COMMENT 'Every line before this offset is judged and its verdict is in this database; 0 until all three topics have reported',
    complete_until      DateTime64(3, 'UTC') COMMENT 'Everything that the broker took up to this time is in; an event can happen earlier and arrive later',
    latest_timestamp    DateTime64(3, 'UTC') COMMENT 'Latest event time that is in',
    lines               UInt64              COMMENT 'Lines judged since the partition began',
    accepted            UInt64              COMMENT 'Of these, events that count',
    late                UInt64              COMMENT 'Of the accepted ones, those that were late',
    rejected            UInt64              COMMENT 'Of these, lines that do not count',
    forwarded           UInt64              COMMENT 'Of these, lines sent on to the partition that they belong to',
    written_at          DateTime64(3, 'UTC') COMMENT 'When this database was last told of progress on the partition'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    p.kafka_partition AS kafka_partition,
    if(uniqExact(p.topic) = 3, min(p.next_offset), 0) AS complete_to_offset,
    if(uniqExact(p.topic) = 3, min(p.received_until), toDateTime64(0, 3, 'UTC')) AS complete_until,
    argMin(p.latest_timestamp, p.next_offset) AS latest_timestamp,
    argMin(p.lines, p.next_offset) AS lines,
    argMin(p.accepted, p.next_offset) AS accepted,
    argMin(p.late, p.next_offset) AS late,
    argMin(p.rejected, p.next_offset) AS rejected,
    argMin(p.forwarded, p.next_offset) AS forwarded,
    max(p.inserted_at) AS written_at
FROM ${database}.usage_progress AS p FINAL
GROUP BY p.kafka_partition
COMMENT 'Up to where the answers are complete, per partition';
