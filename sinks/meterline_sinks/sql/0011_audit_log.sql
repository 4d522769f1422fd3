CREATE TABLE IF NOT EXISTS ${database}.audit_log ${on_cluster}
(
    seq           UInt64                 COMMENT 'Number of the entry, from 1, without gaps',
    id            String                 COMMENT 'Id of the entry',
    at            DateTime64(3, 'UTC')   COMMENT 'When it was written',
    actor         String                 COMMENT 'Who did it: root, key:<id>, token:<subject> or cli:<user of the system>',
    origin        String                 COMMENT 'Where from: the address of the caller, or the host that a command ran on',
    request_id    String                 COMMENT 'What the caller named the request by, or empty',
    action        LowCardinality(String) COMMENT 'What was done, such as quota.updated, billing.report.generated or tenant.erased',
    resource_type LowCardinality(String) COMMENT 'Kind of the thing that it was done to',
    resource_id   String                 COMMENT 'Key of that thing, or empty',
    tenant_id     String                 COMMENT 'Whose it is, or empty',
    before        String                 COMMENT 'The thing before as JSON, without secrets; null where there was none',
    after         String                 COMMENT 'The thing after as JSON, without secrets; null where there is none any more',
    details       String                 COMMENT 'Further facts as JSON, such as the filters of a report; or null',
    previous      String                 COMMENT 'hash of the entry before it; of the first one 64 zeros',
    hash          String                 COMMENT 'SHA-256 of everything before this column, in hexadecimal',
    kafka_offset  Int64                  COMMENT 'Offset of the record in meterline.audit',
    inserted_at   DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it',
    INDEX places kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree
ORDER BY (seq, kafka_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Who did what: a copy of meterline.audit. Read it with FINAL';
