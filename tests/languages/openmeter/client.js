// What an application does with OpenMeter's SDK: it sends events, or asks a meter. Prints the answer as JSON.
import { OpenMeter } from '@openmeter/sdk'

const openmeter = new OpenMeter({ baseUrl: process.env.OPENMETER_URL, apiKey: process.env.OPENMETER_KEY })
const [what, subject] = process.argv.slice(2)

async function send() {
  const click = (id, ms) => ({ id, type: 'click', subject, data: { ms, page: '/a' } })
  await openmeter.events.ingest({ type: 'click', subject, data: { ms: 0.1 + 0.2 } })
  await openmeter.events.ingest([click('js-1', 40), click('js-2', '2.5'), click('js-1', 40)])
}

async function ask() {
  const from = new Date(Date.now() - 3_600_000)
  return {
    meters: (await openmeter.meters.list()).map((meter) => meter.slug),
    meter: await openmeter.meters.get('click_ms'),
    total: await openmeter.meters.query('click_ms', { subject: [subject], from, windowSize: 'DAY' }),
    posted: await openmeter.meters.queryPost('clicks', { subject: [subject], filterGroupBy: { page: ['/a'] } }),
    filtered: await openmeter.meters.query('clicks', { subject: [subject], filterGroupBy: { page: '/a' } }),
    pages: await openmeter.meters.listGroupByValues('clicks', 'page'),
    error: await openmeter.meters.get('none').catch((error) => [error.name, error.status, error.message]),
  }
}

console.log(JSON.stringify((await { send, ask }[what]()) ?? null))
