import test from 'ava'
import { Counter, Gauge } from 'prom-client'
import { startCollector } from '../testing/collector.ts'
import { createLog } from './log.ts'
import { createFunctionRegistry, createHotCounter, metricsText } from './metrics.ts'
import { occasionally } from './occasionally.ts'
import { sampledTraceparent, startTracing, traceparentOf, withSpan } from './tracing.ts'

function collecting(level = 'info') {
  const lines: string[] = []
  const log = createLog({ level, service: 'probe', destination: { write: (line) => void lines.push(line) } })
  return { log, lines }
}

test('log – secrets and personal data are masked, deep down too', (t) => {
  const { log, lines } = collecting()
  const secrets = {
    authorization: 'Bearer hunter2',
    'stampede-pass': 'hunter2',
    token: 'hunter2',
    email: 'hunter2@x',
    phone: 'hunter2',
    password: 'hunter2',
  }
  log.info({ ...secrets, headers: secrets, request: { headers: secrets }, orderNumber: 'o-1' }, 'something')
  t.notRegex(lines.join(''), /hunter2/)
  const line = JSON.parse(lines[0]!)
  t.like(line, { level: 'info', service: 'probe', message: 'something', orderNumber: 'o-1', token: '[masked]' })
  t.regex(line.time, /^\d{4}-.*Z$/)
})

test('log – an error is written with its stack and its cause', (t) => {
  const { log, lines } = collecting()
  log.error({ error: new Error('outer', { cause: new Error('inner') }) }, 'failed')
  const line = JSON.parse(lines[0]!)
  t.regex(line.error.stack, /outer[\s\S]*inner/)
})

test('occasionally – what is reported again and again is let through once a second', (t) => {
  const said: number[] = []
  let nowMs = 5
  const report = occasionally((value: number) => said.push(value), { monotonicMs: () => nowMs })
  for (const atMs of [5, 6, 1_004, 1_005, 1_006, 9_000]) {
    nowMs = atMs
    report(atMs)
  }
  t.deepEqual(said, [5, 1_005, 9_000])
})

test('metrics – families of the same name from two functions are announced once', async (t) => {
  const registries = ['one', 'two'].map((name, index) => {
    const registry = createFunctionRegistry(name)
    new Counter({ name: 'things_total', help: 'Things.', registers: [registry] }).inc(index + 1)
    return registry
  })
  registries[0]!.registerMetric(new Gauge({ name: 'alone', help: 'Alone.', registers: [] }))
  const text = await metricsText(registries)
  t.is(text.match(/# HELP things_total/g)?.length, 1)
  t.is(text.match(/# TYPE things_total/g)?.length, 1)
  t.regex(text, /# TYPE things_total counter\nthings_total\{function="one"\} 1\nthings_total\{function="two"\} 2\n/)
})

test('metrics – a hot counter hands over what was added, each time it is read', async (t) => {
  const registry = createFunctionRegistry('probe')
  const counter = createHotCounter(registry, {
    name: 'presses_total',
    help: 'Presses.',
    label: 'outcome',
    values: ['won', 'lost'],
  })
  counter.add('won')
  counter.add('won', 4)
  for (let round = 0; round < 2; round++) {
    const text = await metricsText([registry])
    t.regex(text, /presses_total\{outcome="won",function="probe"\} 5/)
    t.regex(text, /presses_total\{outcome="lost",function="probe"\} 0/)
  }
  t.is(counter.total('won'), 5)
})

test('traceparent – is taken over from a header only when it is well-formed and sampled', (t) => {
  const sampled = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  t.is(sampledTraceparent(sampled), sampled)
  for (const other of [
    undefined,
    '',
    sampled.replace(/01$/, '00'),
    sampled.replace('00-', 'ff-'),
    sampled.toUpperCase(),
    [sampled],
    `${sampled}x`,
  ]) {
    t.is(sampledTraceparent(other), undefined)
  }
})

// One test, because the tracing API is global to the process.
test.serial(
  'tracing – off: costs nothing and names nothing; on: spans go to the collector with their parent',
  async (t) => {
    t.false((await startTracing({}, 'probe')).enabled)
    t.is(await withSpan('nothing', async () => traceparentOf()), undefined)

    const collector = await startCollector()
    t.teardown(collector.stop)
    const tracing = await startTracing(
      { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_TRACES_SAMPLER_ARG: '0' },
      'probe',
    )
    t.true(tracing.enabled)
    t.is(await withSpan('not sampled', async () => traceparentOf()), undefined)
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const own = await withSpan('outer', async () => withSpan('inner', async () => traceparentOf()), { traceparent })
    t.regex(own!, /^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/)
    t.not(own, traceparent)
    await t.throwsAsync(
      withSpan('failing', async () => Promise.reject(new TypeError('secret')), { traceparent }),
      { message: 'secret' },
    )
    const { log, lines } = collecting()
    await withSpan('logged', async () => log.info('within'), { traceparent })
    t.is(JSON.parse(lines[0]!).traceId, '0af7651916cd43dd8448eb211c80319c')
    await tracing.stop()
    const received = collector.spans
    t.deepEqual(received.map(({ name }) => name).sort(), ['failing', 'inner', 'logged', 'outer'])
    t.is(received.find(({ name }) => name === 'outer')!.parentSpanId, 'b7ad6b7169203331')
    t.is(received.find(({ name }) => name === 'failing')!.status.code, 2)
  },
)
