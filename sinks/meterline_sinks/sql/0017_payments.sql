-- How payments stand at Stripe: of our invoices with the attempts to collect them, and of every invoice that Stripe has of
-- our tenants, also where meters alone made it.

ALTER TABLE ${database}.invoice_payments ${on_cluster}
    ADD COLUMN IF NOT EXISTS attempts UInt32 COMMENT 'How often it was tried to collect it' AFTER detail,
    ADD COLUMN IF NOT EXISTS next_attempt_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it is tried again by itself; NULL: it is not, or that is not known' AFTER attempts,
    COMMENT COLUMN state 'draft, open, paid, failed (the first attempt), retried (a later one failed too), void or uncollectible, as whoever collects it says';

CREATE TABLE IF NOT EXISTS ${database}.payments ${on_cluster}
(
    created_at      DateTime64(3, 'UTC')   COMMENT 'When the invoice was made there',
    reference       String                 COMMENT 'Id of the invoice there',
    provider        LowCardinality(String) COMMENT 'Who collects it, such as stripe',
    tenant_id       String                 COMMENT 'Whose it is; empty where no tenant is that customer',
    customer        String                 COMMENT 'Id of the customer there',
    provider_number String                 COMMENT 'Its number there, or empty',
    numbers         Array(String)          COMMENT 'Numbers of our invoices that it collects; none: usage of meters',
    state           LowCardinality(String) COMMENT 'draft, open, paid, failed (the first attempt), retried (a later one failed too), void or uncollectible',
    at              DateTime64(3, 'UTC')   COMMENT 'Since when',
    detail          String                 COMMENT 'What has to be done, or empty',
    attempts        UInt32                 COMMENT 'How often it was tried to collect it',
    next_attempt_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it is tried again by itself; NULL: it is not, or that is not known',
    currency        LowCardinality(String) COMMENT 'ISO 4217 code of its amounts',
    amount_due      Decimal(38, 9)         COMMENT 'What is to be paid',
    amount_paid     Decimal(38, 9)         COMMENT 'What of it is paid',
    kafka_offset    UInt64                 COMMENT 'Offset in billing.payments; of the rows of one invoice the highest stands',
    inserted_at     DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree(kafka_offset)
ORDER BY (created_at, reference)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Invoices of whoever collects payments, as they stand. Read it with FINAL';

CREATE OR REPLACE VIEW ${database}.invoices ${on_cluster}
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
    payment           LowCardinality(String) COMMENT 'How its payment stands: draft, open, paid, failed, retried, void or uncollectible; empty where nobody said',
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
