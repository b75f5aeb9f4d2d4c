import { readFile } from 'node:fs/promises'
import test from 'ava'
import { parse } from 'yaml'
import { z } from 'zod'
import { checkedDocument } from './checked-document.ts'
import { declaredRoutes } from './declared.ts'
import { gatewayDocument } from './document.ts'
import { compileRules, planUpstreams } from './rules.ts'
import { createUpstreams } from './upstreams.ts'

const addresses = new Map(declaredRoutes.functions.map((name) => [name, `http://${name}.test`]))
const schema = checkedDocument(declaredRoutes, addresses)
const read = (name: string) => readFile(new URL(name, import.meta.url), 'utf8')

test('document – the example of the README is valid, by the schema of the code and by the JSON schema', async (t) => {
  const [, example = ''] = /```yaml\n([\s\S]*?)```/.exec(await read('README.md')) ?? []
  const document = parse(example) as Record<string, unknown>
  const { version: _version, ...rest } = document
  const parsed = schema.safeParse(rest)
  t.true(parsed.success, parsed.error && z.prettifyError(parsed.error))
  const json = z.fromJSONSchema(
    JSON.parse(await read('generated/configuration.schema.json')) as z.core.JSONSchema.JSONSchema,
  )
  const checked = json.safeParse(document)
  t.true(checked.success, checked.error && z.prettifyError(checked.error))
})

test('document – nothing at all is valid, and limits the flash sale to 1000 a second with bursts of 2000', async (t) => {
  const document = schema.parse({})
  const upstreams = createUpstreams(() => {})
  const rules = compileRules(
    document,
    declaredRoutes,
    upstreams.apply(planUpstreams(document, declaredRoutes.functions, addresses)),
  )
  t.teardown(() => upstreams.close())
  const press = rules.table.find('POST', '/api/v1/seckill/a1/purchases')
  t.true(press.kind === 'found')
  t.like(press.kind === 'found' && press.route.limits[0], { name: 'flash-sale', burst: 2_000, intervalMicros: 1_000 })
  const old = rules.table.find('POST', '/api/flash-sale/order/create')
  t.is(old.kind === 'found' ? old.route.limits.length : -1, 1)
  const result = rules.table.find('GET', '/api/v1/seckill/a1/result')
  t.true(result.kind === 'found' && result.route.long && result.route.limits.length === 0)
})

for (const [what, document] of Object.entries({
  'a member that is not known': { limit: [] },
  'a limit without a name': { limits: [{ by: 'ip', rate: 1, burst: 1 }] },
  'a limit twice': { limits: [1, 2].map(() => ({ name: 'a', by: 'ip', rate: 1, burst: 1 })) },
  'a limit of nothing': { limits: [{ name: 'a', by: 'ip', rate: 0, burst: 1 }] },
  'a limit of a route that does not exist': {
    limits: [{ name: 'a', by: 'ip', rate: 1, burst: 1, routes: ['GET /api/v1/activitys'] }],
  },
  'a limit of a function that does not exist': {
    limits: [{ name: 'a', by: 'ip', rate: 1, burst: 1, functions: ['seckil'] }],
  },
  'an upstream without an address': {
    upstreams: { spare: {} },
    functions: { seckill: { overflow: { upstream: 'spare', inFlight: 1 } } },
  },
  'an upstream with a path': { upstreams: { seckill: { addresses: [{ url: 'http://a/b' }] } } },
  'an upstream with a password': { upstreams: { seckill: { addresses: [{ url: 'http://a:b@c' }] } } },
  'an upstream of another protocol': { upstreams: { seckill: { addresses: [{ url: 'file:///etc' }] } } },
  'an overflow at nothing': {
    upstreams: { spare: { addresses: [{ url: 'http://a' }] } },
    functions: { seckill: { overflow: { upstream: 'spare' } } },
  },
  'a canary that is nowhere': { functions: { seckill: { canary: { upstream: 'next', weight: 5 } } } },
  'an address that is none': { addresses: { deny: ['10.0.0'] } },
  'a range that is none': { addresses: { deny: ['10.0.0.0/33'] } },
  'credentials for everybody': { cors: { origins: ['*'], credentials: true } },
  'a date that is none': { versions: { v1: { deprecatedAt: 'soon' } } },
  'a change of a route that does not exist': { routes: [{ route: 'GET /nowhere', timeoutMs: 100 }] },
})) {
  test(`document – ${what} is refused`, (t) => {
    t.false(schema.safeParse(document).success)
  })
}

test('upstreams – those that a change leaves alone keep their connections and counts', async (t) => {
  const upstreams = createUpstreams(() => {})
  t.teardown(() => upstreams.close())
  const plan = (document: z.input<typeof gatewayDocument>) =>
    planUpstreams(gatewayDocument.parse(document), ['order', 'seckill'], addresses)
  const before = upstreams.apply(plan({}))
  const after = upstreams.apply(plan({ upstreams: { order: { connections: 7 } } }))
  t.is(after.get('seckill'), before.get('seckill'))
  t.not(after.get('order'), before.get('order'))
})

test('upstreams – addresses get their share by weight, evenly spread, and one that is out is left out', async (t) => {
  const upstreams = createUpstreams(() => {})
  t.teardown(() => upstreams.close())
  const document = gatewayDocument.parse({
    upstreams: { order: { addresses: [{ url: 'http://a', weight: 3 }, { url: 'http://b' }] } },
  })
  const order = upstreams.apply(planUpstreams(document, ['order'], addresses)).get('order')!
  const next = (nowMs: number) => order.nextAddress(nowMs).url
  t.deepEqual(
    Array.from({ length: 8 }, () => next(0))
      .map((url) => url.at(-1))
      .join(''),
    'aabaaaba',
  )
  order.leaveOut(order.nextAddress(0), 0)
  const left = next(1)
  t.deepEqual([...new Set(Array.from({ length: 8 }, () => next(1)))], [left])
  t.is(new Set(Array.from({ length: 8 }, () => next(2_001))).size, 2)
  t.not(order.nextAddress(2_001, order.nextAddress(2_001)).url, undefined)
})
