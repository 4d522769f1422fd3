-- Documents of billing as they were written, and how their payment stands. One record is one row with all of its lines.

CREATE TABLE IF NOT EXISTS ${database}.invoices_raw ${on_cluster}
(
    tenant_id         String                 COMMENT 'Who is billed',
    period_start      DateTime64(3, 'UTC')   COMMENT 'Start of the period that it is of',
    period_end        DateTime64(3, 'UTC')   COMMENT 'End of the period, not included',
    number            String                 COMMENT 'Number of the document; invoices and credit notes have a series each, without gaps',
    kind              LowCardinality(String) COMMENT 'invoice or credit_note',
    of                String                 COMMENT 'Of a credit note: the number of the invoice that it takes back',
    reason            String                 COMMENT 'Of a credit note: why',
    tenant_name       String                 COMMENT 'Name of the tenant when it was written',
    plan              String                 COMMENT 'Id of the plan at the end of the period',
    currency          LowCardinality(String) COMMENT 'ISO 4217 code of its amounts',
    total             Decimal(38, 9)         COMMENT 'Sum of its lines',
    exchange_currency LowCardinality(String) COMMENT 'Another currency that the total is told in, or empty',
    exchange_rate     Nullable(Decimal(38, 9)) COMMENT 'Units of it for one of currency',
    exchange_total    Nullable(Decimal(38, 9)) COMMENT 'The total in it',
    lines             Array(Tuple(
        line        UInt32,
        kind        String,
        line_start  DateTime64(3, 'UTC'),
        line_end    DateTime64(3, 'UTC'),
        plan        String,
        metric      String,
        name        String,
        unit        String,
        quantity    Nullable(Decimal(38, 9)),
        included    Nullable(Decimal(38, 9)),
        rate        Nullable(Decimal(38, 9)),
        per         Nullable(Decimal(38, 9)),
        amount      Decimal(38, 9),
        origin      String
    ))                                       COMMENT 'Its lines: a row of invoice_lines each',
    document          String CODEC(ZSTD(3))  COMMENT 'The document as it was written, as JSON',
    issued_at         DateTime64(3, 'UTC')   COMMENT 'When it was written',
    kafka_offset      UInt64                 COMMENT 'Offset in billing.invoices',
    inserted_at       DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it',
    INDEX by_number number TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree(kafka_offset)
ORDER BY (tenant_id, period_start, number)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 512
COMMENT 'Invoices and credit notes, each once and for ever: read invoices and invoice_lines';

CREATE TABLE IF NOT EXISTS ${database}.invoice_payments ${on_cluster}
(
    number       String                 COMMENT 'Number of the invoice',
    state        LowCardinality(String) COMMENT 'open, paid, failed, retried or void, as whoever collects it says',
    at           DateTime64(3, 'UTC')   COMMENT 'Since when',
    provider     LowCardinality(String) COMMENT 'Who collects it, such as stripe',
    reference    String                 COMMENT 'What it is known by there',
    detail       String                 COMMENT 'What they say of it',
    kafka_offset UInt64                 COMMENT 'Offset in billing.invoices; of the rows of one number the highest stands',
    inserted_at  DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree(kafka_offset)
ORDER BY number
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'How the payment of each invoice stands. Read it with FINAL';

CREATE VIEW IF NOT EXISTS ${database}.invoices ${on_cluster}
(
    number            String                 COMMENT 'Number of the document; invoices and credit notes have a series each, without gaps',
    kind              LowCardinality(String) COMMENT 'invoice or credit_note',
    of                String                 COMMENT 'Of a credit note: the number of the invoice that it takes back',
    reason            String                 COMMENT 'Of a credit note: why',
    void              UInt8                  COMMENT '1: a credit note took it back',
    tenant_id         String                 COMMENT 'Who is billed',
    tenant_name       String                 COMMENT 'Name of the tenant when it was written',
    plan              String                 COMMENT 'Id of the plan at the end of the period',
    period_start      DateTime64(3, 'UTC')   COMMENT 'Start of the period that it is of',
    period_end        DateTime64(3, 'UTC')   COMMENT 'End of the period, not included',
    currency          LowCardinality(String) COMMENT 'ISO 4217 code of its amounts',
    total             Decimal(38, 9)         COMMENT 'Sum of its lines',
    exchange_currency LowCardinality(String) COMMENT 'Another currency that the total is told in, or empty',
    exchange_rate     Nullable(Decimal(38, 9)) COMMENT 'Units of it for one of currency',
    exchange_total    Nullable(Decimal(38, 9)) COMMENT 'The total in it',
    issued_at         DateTime64(3, 'UTC')   COMMENT 'When it was written',
    payment           LowCardinality(String) COMMENT 'How its payment stands: open, paid, failed, retried or void; empty where nobody said',
    payment_detail    String                 COMMENT 'What whoever collects it says of it',
    document          String                 COMMENT 'The document as it was written, as JSON'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    i.number AS number, i.kind AS kind, i.of AS of, i.reason AS reason,
    toUInt8(i.number IN (SELECT n.of FROM ${database}.invoices_raw AS n WHERE n.kind = 'credit_note')) AS void,
    i.tenant_id AS tenant_id, i.tenant_name AS tenant_name, i.plan AS plan,
    i.period_start AS period_start, i.period_end AS period_end, i.currency AS currency, i.total AS total,
    i.exchange_currency AS exchange_currency, i.exchange_rate AS exchange_rate, i.exchange_total AS exchange_total,
    i.issued_at AS issued_at, p.state AS payment, p.detail AS payment_detail, i.document AS document
FROM ${database}.invoices_raw AS i FINAL
LEFT ANY JOIN (SELECT * FROM ${database}.invoice_payments FINAL) AS p ON p.number = i.number
COMMENT 'Invoices and credit notes';

CREATE VIEW IF NOT EXISTS ${database}.invoice_lines ${on_cluster}
(
    number       String                   COMMENT 'Number of the document',
    line         UInt32                   COMMENT 'Which line of it, from 1',
    tenant_id    String                   COMMENT 'Who is billed',
    currency     LowCardinality(String)   COMMENT 'ISO 4217 code of the amount',
    period_start DateTime64(3, 'UTC')     COMMENT 'Start of the period of the document',
    period_end   DateTime64(3, 'UTC')     COMMENT 'End of the period of the document, not included',
    kind         String                   COMMENT 'base_fee, usage, adjustment or manual',
    line_start   DateTime64(3, 'UTC')     COMMENT 'Start of what the line is of',
    line_end     DateTime64(3, 'UTC')     COMMENT 'End of what the line is of, not included',
    plan         String                   COMMENT 'Id of the plan that it is priced by',
    metric       String                   COMMENT 'Key of the metric; empty for a base fee',
    name         String                   COMMENT 'What it is, for people',
    unit         String                   COMMENT 'Unit of the quantity',
    quantity     Nullable(Decimal(38, 9)) COMMENT 'How much was used; of an adjustment how much more than was told before',
    included     Nullable(Decimal(38, 9)) COMMENT 'What of it is not charged',
    rate         Nullable(Decimal(38, 9)) COMMENT 'Price of `per` units; NULL where it depends on the quantity',
    per          Nullable(Decimal(38, 9)) COMMENT 'Of how many units',
    amount       Decimal(38, 9)           COMMENT 'What it comes to, rounded once',
    origin       String                   COMMENT 'Of an adjustment: the number of the invoice that it is to'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    i.number AS number, l.line AS line, i.tenant_id AS tenant_id, i.currency AS currency,
    i.period_start AS period_start, i.period_end AS period_end, l.kind AS kind,
    l.line_start AS line_start, l.line_end AS line_end, l.plan AS plan, l.metric AS metric, l.name AS name,
    l.unit AS unit, l.quantity AS quantity, l.included AS included, l.rate AS rate, l.per AS per,
    l.amount AS amount, l.origin AS origin
FROM ${database}.invoices_raw AS i FINAL ARRAY JOIN i.lines AS l
COMMENT 'Lines of invoices and credit notes: they sum to the totals of invoices';
