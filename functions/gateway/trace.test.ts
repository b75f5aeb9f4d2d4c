/** Traces through the gateway: two processes, one function behind them in this one, and a collector. */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { z } from 'zod'
import { defineFunction, route } from '@stampede/shared/function/declaration.ts'
import { serve, type Serving } from '@stampede/shared/function/serve.ts'
import { attributeOf, startCollector, type ReceivedSpan } from '@stampede/shared/testing/collector.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { freePort } from '@stampede/shared/testing/services.ts'
import { noLimits, spawnGateway, type GatewayProcess } from './testing.ts'

const label = 'GET /api/v1/seckill/:activityId/live'

/** Has the path of a route that the gateway knows. */
const behind = defineFunction({
  name: 'behind',
  summary: 'What a gateway calls.',
  config: z.object({}),
  connect: () => ({ ready: async () => {}, stop: async () => {} }),
  routes: [
    route(
      'GET',
      '/api/v1/seckill/:activityId/live',
      { auth: 'public', summary: 'Says what it was told.', reply: z.object({ traceparent: z.string().nullable() }) },
      ({ headers }) => ({ traceparent: headers['traceparent']?.toString() ?? null }),
    ),
  ],
})

let collector: Awaited<ReturnType<typeof startCollector>>
let upstream: Serving
/** Keep all that is begun there, or nothing of it. */
let keeps: GatewayProcess
let drops: GatewayProcess

test.before(async () => {
  collector = await startCollector()
  const identity = await createTestIdentity()
  const environment = {
    ...identity.environment,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    ACCESS_CONTROL: 'built-in',
    LOG_LEVEL: 'silent',
  }
  const all = { ...environment, OTEL_TRACES_SAMPLER_ARG: '1' }
  const none = { ...environment, OTEL_TRACES_SAMPLER_ARG: '0' }
  upstream = await serve([behind], { port: await freePort(), host: '127.0.0.1', environment: all })
  const document = { ...noLimits, upstreams: { seckill: { retries: { attempts: 1, backoffMs: 0 } } } }
  ;[keeps, drops] = await Promise.all([
    spawnGateway(upstream.url, document, { identity, environment: all }),
    spawnGateway(upstream.url, document, { identity, environment: none }),
  ])
})
test.after.always(async () => {
  await Promise.all([keeps?.stop(), drops?.stop(), upstream?.stop()])
  await collector?.stop()
})

async function ask(gateway: GatewayProcess, traceparent?: string): Promise<string | null> {
  const response = await fetch(`${gateway.url}/api/v1/seckill/a1/live`, { headers: traceparent ? { traceparent } : {} })
  if (response.status !== 200) throw new Error(`answered ${response.status}: ${await response.text()}`)
  return ((await response.json()) as { traceparent: string | null }).traceparent
}

const newTrace = () => ({ traceId: randomBytes(16).toString('hex'), caller: randomBytes(8).toString('hex') })

test('trace – a request is a span of its gateway and one of its function, kept or not as it was decided first', async (t) => {
  const [first, second, left] = [newTrace(), newTrace(), newTrace()]
  for (const [gateway, { traceId, caller }] of [
    [keeps, first],
    [drops, second],
  ] as const) {
    const told = await ask(gateway, `00-${traceId}-${caller}-01`)
    t.regex(told!, new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`))
    t.false(told!.includes(caller))
  }
  // Not kept where it was begun: whatever the samplers here would say.
  t.regex((await ask(keeps, `00-${left.traceId}-${left.caller}-00`))!, new RegExp(`^00-${left.traceId}-.*-00$`))
  const begun = (await ask(keeps))!.split('-')
  t.is(begun[3], '01')
  // What is no trace is none, and a new one is begun.
  const rubbish = (await ask(keeps, `00-${left.traceId}-${left.caller}-zz`))!.split('-')
  t.is(rubbish[3], '01')
  t.not(rubbish[1], left.traceId)
  // Not begun here: the function, which would keep all that it begins, is told so.
  const dropped = (await ask(drops))!.split('-')
  t.is(dropped[3], '00')

  // The end hands over what was not sent yet.
  await Promise.all([keeps.stop(), drops.stop(), upstream.stop()])
  const of = (traceId: string) => collector.spans.filter((span) => span.traceId === traceId)
  for (const [traceId, parent] of [
    [first.traceId, first.caller],
    [second.traceId, second.caller],
    [begun[1]!, undefined],
    [rubbish[1]!, undefined],
  ] as const) {
    const spans = of(traceId)
    t.is(spans.length, 2, traceId)
    const gateway = spans.find(({ service }) => service === 'gateway') as ReceivedSpan
    const own = spans.find(({ service }) => service === 'behind') as ReceivedSpan
    t.is(gateway.parentSpanId || undefined, parent)
    t.is(own.parentSpanId, gateway.spanId)
    t.deepEqual([gateway.name, own.name], [label, label])
    // 2: server.
    t.deepEqual([gateway.kind, own.kind], [2, 2])
    t.is(attributeOf(gateway, 'http.response.status_code'), 200)
  }
  for (const traceId of [left.traceId, dropped[1]!]) t.deepEqual(of(traceId), [])
  t.is(collector.spans.length, 8)
})
