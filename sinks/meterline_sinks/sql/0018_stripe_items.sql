-- What became of each document that is charged at Stripe by invoice items. One record is one row with all of its items.

CREATE TABLE IF NOT EXISTS ${database}.stripe_items_raw ${on_cluster}
(
    tenant_id    String                 COMMENT 'Who is billed',
    number       String                 COMMENT 'Number of the document',
    of           String                 COMMENT 'Of a credit note: the number of the invoice that it takes back',
    customer     String                 COMMENT 'Id of the customer at Stripe; empty until something of it was under way',
    state        LowCardinality(String) COMMENT 'refused, intent, due, delivered or left',
    currency     LowCardinality(String) COMMENT 'ISO 4217 code of its amounts',
    issued_at    DateTime64(3, 'UTC')   COMMENT 'When the document was written',
    items        Array(Tuple(
        kind        String,
        line        UInt32,
        state       String,
        at          Nullable(DateTime64(3, 'UTC')),
        amount      Int64,
        description String,
        metric      String,
        item_start  Nullable(DateTime64(3, 'UTC')),
        item_end    Nullable(DateTime64(3, 'UTC')),
        attempt     UInt32,
        id          String,
        detail      String,
        request_id  String
    ))                                  COMMENT 'Its lines at Stripe, and what is done to an invoice there that is its own',
    kafka_offset UInt64                 COMMENT 'Offset in billing.items; of the rows of one document the highest stands',
    inserted_at  DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When this row was written here; a repeated write changes it'
)
ENGINE = ${replicated}ReplacingMergeTree(kafka_offset)
ORDER BY (tenant_id, number)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Documents that are charged at Stripe by invoice items, each with all of them: read stripe_items';

CREATE VIEW IF NOT EXISTS ${database}.stripe_items ${on_cluster}
(
    tenant_id String                 COMMENT 'Who is billed',
    number    String                 COMMENT 'Number of the document',
    of        String                 COMMENT 'Of a credit note: the number of the invoice that it takes back',
    customer  String                 COMMENT 'Id of the customer at Stripe; empty until something of it was under way',
    state     LowCardinality(String) COMMENT 'refused: Stripe did not take something of it; intent: there is no answer yet; due: something waits; delivered: all that goes there is there; left: nothing of it goes there',
    currency  LowCardinality(String) COMMENT 'ISO 4217 code of its amounts',
    amount    Int64                  COMMENT 'What its lines come to there, in the units that Stripe counts the currency in, such as cents; without those that are left',
    delivered Int64                  COMMENT 'What of it is there',
    lines     Array(UInt32)          COMMENT 'Lines of the document that are there, from 1',
    ids       Array(String)          COMMENT 'Ids of their invoice items at Stripe, in the same order',
    invoice   String                 COMMENT 'Id of the invoice at Stripe that was made for the document; empty: they wait for the next one of the customer',
    issued_at DateTime64(3, 'UTC')   COMMENT 'When the document was written',
    at        Nullable(DateTime64(3, 'UTC')) COMMENT 'When something of it changed last',
    detail    String                 COMMENT 'Why something of it was refused or left, each in a sentence'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    s.tenant_id AS tenant_id, s.number AS number, s.of AS of, s.customer AS customer, s.state AS state,
    s.currency AS currency,
    arraySum(x -> if(x.kind = 'item' AND x.state != 'left', x.amount, 0), s.items) AS amount,
    arraySum(x -> if(x.kind = 'item' AND x.state = 'delivered', x.amount, 0), s.items) AS delivered,
    arrayMap(x -> x.line, arrayFilter(x -> x.kind = 'item' AND x.state = 'delivered', s.items)) AS lines,
    arrayMap(x -> x.id, arrayFilter(x -> x.kind = 'item' AND x.state = 'delivered', s.items)) AS ids,
    arrayFirst(x -> x.kind = 'invoice', s.items).id AS invoice,
    s.issued_at AS issued_at, arrayMax(x -> x.at, s.items) AS at,
    arrayStringConcat(arrayDistinct(arrayMap(x -> x.detail, arrayFilter(x -> x.detail != '', s.items))), '; ') AS detail
FROM ${database}.stripe_items_raw AS s FINAL
COMMENT 'What became at Stripe of each document that is charged by invoice items';
