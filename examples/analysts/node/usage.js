// Usage from Node: node usage.js http://127.0.0.1:8123 USER PASSWORD DATABASE METRIC
import { createClient } from '@clickhouse/client'

const [url, username, password, database, metric] = process.argv.slice(2)
const client = createClient({ url, username, password, database })
const answer = await client.query({
  // a number of JavaScript holds 15 digits: ask for quantities as text
  query: `SELECT tenant_id, day, toString(count) AS events, toString(sum) AS total
          FROM usage_daily WHERE metric = {metric:String} ORDER BY tenant_id, day`,
  query_params: { metric },
  format: 'JSONEachRow',
})
for (const row of await answer.json()) {
  console.log(['row', row.tenant_id, row.day, row.events, row.total].join('\t'))
}
await client.close()
