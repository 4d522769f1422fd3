-- Which days are closed: those of which every moment lies in a period whose invoice is written. An invoice is of a whole
-- period, but where the tenant changed within it to a plan that is invoiced by other periods, it closes only the part on
-- plans like its own, or on none: the rest waits for another invoice.

CREATE VIEW IF NOT EXISTS ${database}.usage_days ${on_cluster}
(
    tenant_id String                         COMMENT 'Who is billed',
    day       Date                           COMMENT 'The UTC day',
    state     LowCardinality(String)         COMMENT 'closed: all of it lies in periods whose invoices are written, which never change; void: the same, and a credit note took one of them back; open: an invoice of it is still to come, or it has none',
    closed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the last of its invoices was written; NULL: it is open',
    invoices  Array(String)                  COMMENT 'Numbers of the invoices of the periods that it lies in, the earliest first; of an open day those of a part of it'
)
DEFINER = CURRENT_USER SQL SECURITY DEFINER
AS SELECT
    d.tenant_id AS tenant_id, d.day AS day,
    multiIf(
        NOT ifNull(min(d.start) <= toDateTime64(d.day, 3, 'UTC') AND max(d.end) >= toDateTime64(d.day + 1, 3, 'UTC'), 0), 'open',
        max(d.void), 'void',
        'closed'
    ) AS state,
    if(state = 'open', NULL, max(d.issued_at)) AS closed_at,
    arrayDistinct(arrayMap(x -> x.2, arraySort(groupArrayIf((assumeNotNull(d.start), d.number), d.number != '')))) AS invoices
FROM
(
    SELECT DISTINCT
        u.tenant_id AS tenant_id, toDate(u.hour, 'UTC') AS day, '' AS number, NULL AS issued_at, 0 AS void,
        NULL AS start, NULL AS end
    FROM ${database}.usage_parts AS u
    UNION ALL
    SELECT
        i.tenant_id AS tenant_id,
        arrayJoin(arrayMap(
            n -> toDate(start, 'UTC') + n,
            range(toUInt64(greatest(dateDiff('day', start, end - INTERVAL 1 MILLISECOND, 'UTC') + 1, 0)))
        )) AS day,
        i.number AS number, i.issued_at AS issued_at,
        i.number IN (SELECT c.of FROM ${database}.invoices_raw AS c WHERE c.kind = 'credit_note') AS void,
        greatest(i.period_start, s.start) AS start, least(i.period_end, ifNull(s.until, i.period_end)) AS end
    FROM ${database}.invoices_raw AS i FINAL
    LEFT JOIN (SELECT id, period FROM ${database}.plans_raw FINAL) AS p ON p.id = i.plan
    LEFT JOIN
    (
        -- before its first plan a tenant was on none
        SELECT
            t.tenant_id AS tenant_id, if(n = 1, toDateTime64(0, 3, 'UTC'), x.start) AS start, x.until AS until,
            q.period AS period
        FROM ${database}.tenant_plans_raw AS t FINAL ARRAY JOIN t.spans AS x, arrayEnumerate(t.spans) AS n
        LEFT JOIN (SELECT id, period FROM ${database}.plans_raw FINAL) AS q ON q.id = x.plan
    ) AS s ON s.tenant_id = i.tenant_id
    WHERE i.kind = 'invoice' AND s.period IN ('', p.period) AND start < end
) AS d
GROUP BY d.tenant_id, d.day
COMMENT 'Which days are closed: a row for each tenant and UTC day with usage or in the period of an invoice';
