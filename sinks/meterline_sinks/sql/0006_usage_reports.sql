-- Answers are the totals of the stream plus the late events, which it does not count. Hours, days and months are
-- each folded from the same parts, so that none of them is a fold of another fold.

CREATE VIEW IF NOT EXISTS ${database}.usage_parts ${on_cluster}
(
    tenant_id      String                 COMMENT 'Who is billed',
    metric         LowCardinality(String) COMMENT 'Key of the metric',
    hour           DateTime('UTC')        COMMENT 'Start of the hour that the events happened in',
    count          UInt64                 COMMENT 'Number of events in this part',
    sum            Decimal(76, 9)         COMMENT 'Sum of their quantities',
    min            Decimal(38, 9)         COMMENT 'Least quantity',
    max            Decimal(38, 9)         COMMENT 'Greatest quantity',
    last           Decimal(38, 9)         COMMENT 'Quantity of the event with the greatest (timestamp, id)',
    last_timestamp DateTime64(3, 'UTC')   COMMENT 'Timestamp of that event',
    last_id        String                 COMMENT 'Id of that event'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT tenant_id, metric, hour, count, sum, min, max, last, last_timestamp, last_id
FROM ${database}.usage_totals FINAL
UNION ALL
SELECT tenant_id, metric, toStartOfHour(timestamp), toUInt64(1), toDecimal256(quantity, 9), quantity, quantity, quantity, timestamp, id
FROM ${database}.usage_events_raw FINAL
WHERE late = 1
COMMENT 'What usage_hourly, usage_daily and usage_monthly are folded from: a row per total and a row per late event';

CREATE VIEW IF NOT EXISTS ${database}.usage_hourly ${on_cluster}
(
    tenant_id      String                 COMMENT 'Who is billed',
    metric         LowCardinality(String) COMMENT 'Key of the metric',
    hour           DateTime('UTC')        COMMENT 'Start of the hour that the events happened in, UTC',
    count          UInt64                 COMMENT 'Number of events',
    sum            Decimal(76, 9)         COMMENT 'Sum of their quantities, exact',
    min            Decimal(38, 9)         COMMENT 'Least quantity',
    max            Decimal(38, 9)         COMMENT 'Greatest quantity',
    last           Decimal(38, 9)         COMMENT 'Quantity of the event with the greatest (timestamp, id)',
    last_timestamp DateTime64(3, 'UTC')   COMMENT 'Timestamp of that event',
    last_id        String                 COMMENT 'Id of that event'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    p.tenant_id AS tenant_id, p.metric AS metric, p.hour AS hour,
    sum(p.count) AS count, sum(p.sum) AS sum, min(p.min) AS min, max(p.max) AS max,
    argMax(p.last, (p.last_timestamp, p.last_id)) AS last,
    max(p.last_timestamp) AS last_timestamp,
    argMax(p.last_id, (p.last_timestamp, p.last_id)) AS last_id
FROM ${database}.usage_parts AS p
GROUP BY p.tenant_id, p.metric, p.hour
COMMENT 'Usage of each tenant, metric and hour, late events included';

CREATE VIEW IF NOT EXISTS ${database}.usage_daily ${on_cluster}
(
    tenant_id      String                 COMMENT 'Who is billed',
    metric         LowCardinality(String) COMMENT 'Key of the metric',
    day            Date                   COMMENT 'Day that the events happened on, UTC',
    count          UInt64                 COMMENT 'Number of events',
    sum            Decimal(76, 9)         COMMENT 'Sum of their quantities, exact',
    min            Decimal(38, 9)         COMMENT 'Least quantity',
    max            Decimal(38, 9)         COMMENT 'Greatest quantity',
    last           Decimal(38, 9)         COMMENT 'Quantity of the event with the greatest (timestamp, id)',
    last_timestamp DateTime64(3, 'UTC')   COMMENT 'Timestamp of that event',
    last_id        String                 COMMENT 'Id of that event'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    p.tenant_id AS tenant_id, p.metric AS metric, toDate(p.hour, 'UTC') AS day,
    sum(p.count) AS count, sum(p.sum) AS sum, min(p.min) AS min, max(p.max) AS max,
    argMax(p.last, (p.last_timestamp, p.last_id)) AS last,
    max(p.last_timestamp) AS last_timestamp,
    argMax(p.last_id, (p.last_timestamp, p.last_id)) AS last_id
FROM ${database}.usage_parts AS p
GROUP BY p.tenant_id, p.metric, day
COMMENT 'Usage of each tenant, metric and day (UTC), late events included';

CREATE VIEW IF NOT EXISTS ${database}.usage_monthly ${on_cluster}
(
    tenant_id      String                 COMMENT 'Who is billed',
    metric         LowCardinality(String) COMMENT 'Key of the metric',
    month          Date                   COMMENT 'First day of the month that the events happened in, UTC',
    count          UInt64                 COMMENT 'Number of events',
    sum            Decimal(76, 9)         COMMENT 'Sum of their quantities, exact',
    min            Decimal(38, 9)         COMMENT 'Least quantity',
    max            Decimal(38, 9)         COMMENT 'Greatest quantity',
    last           Decimal(38, 9)         COMMENT 'Quantity of the event with the greatest (timestamp, id)',
    last_timestamp DateTime64(3, 'UTC')   COMMENT 'Timestamp of that event',
    last_id        String                 COMMENT 'Id of that event'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    p.tenant_id AS tenant_id, p.metric AS metric, toStartOfMonth(p.hour, 'UTC') AS month,
    sum(p.count) AS count, sum(p.sum) AS sum, min(p.min) AS min, max(p.max) AS max,
    argMax(p.last, (p.last_timestamp, p.last_id)) AS last,
    max(p.last_timestamp) AS last_timestamp,
    argMax(p.last_id, (p.last_timestamp, p.last_id)) AS last_id
FROM ${database}.usage_parts AS p
GROUP BY p.tenant_id, p.metric, month
COMMENT 'Usage of each tenant, metric and month (UTC), late events included';
