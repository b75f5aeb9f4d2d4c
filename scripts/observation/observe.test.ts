/** The whole command, with a program in kubectl's place and servers in the places of the API server and of the ingress. */
import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { createFakeKubectl } from '../cluster/testing.ts'
import { repositoryFolder } from '../sale/child.ts'
import { createLocalIdentity } from '../sale/identity.ts'
import { serviceLabel } from './pods.ts'
import type { Summary } from './summary.ts'
import { encodeStat, fakePod, startFakeCluster } from './testing.ts'

/** All functions behind one ingress, told apart by the Host header as a real one does. */
async function startIngress(stock: number) {
  const orders: { orderNumber: string; userId: string; quantity: number; state: string }[] = []
  const unknown: string[] = []
  let closed = 0
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      const answer = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body))
      const [service] = (request.headers.host ?? '').split('.')
      const line = `${service} ${request.method} ${request.url?.replace(/\?.*/, '').replace(/phone-\w+/, 'V')}`
      switch (line) {
        case 'activity GET /health/readiness':
        case 'inventory GET /health/readiness':
        case 'seckill GET /health/readiness':
        case 'inventory PUT /api/v1/stocks/V':
        case 'activity POST /api/v1/activities/A/schedule':
          return answer(200, {})
        case 'activity POST /api/v1/activities':
          return answer(201, { activityId: 'A' })
        case 'activity GET /api/v1/activities/A':
          return answer(200, { state: 'warmed-up' })
        case 'activity POST /api/v1/activities/A/close':
          closed += 1
          return answer(200, {})
        case 'seckill GET /api/v1/seckill/A/live':
          return answer(200, { left: stock - orders.length, sold: orders.length, confirmed: orders.length, outbox: 0 })
        case 'seckill POST /api/v1/seckill/A/purchases': {
          if (orders.length >= stock) return answer(422, { code: 'sold-out' })
          const orderNumber = `N${orders.length}`
          orders.push({ orderNumber, userId: `U${orders.length}`, quantity: 1, state: 'created' })
          return answer(202, { orderNumber, status: 'accepted' })
        }
        case 'order GET /api/v1/order-pages/A':
          return answer(200, { orders, next: null })
        default:
          unknown.push(line)
          return answer(404, {})
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    unknown,
    closed: () => closed,
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

const secretOf = (data: Record<string, string>) =>
  JSON.stringify({
    data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')])),
  })

test('observe – a whole sale: load along the route, table, page, summary as the last line, guarantees checked', async (t) => {
  const cluster = await startFakeCluster()
  t.teardown(() => cluster.close())
  const pods = '/api/v1/namespaces/stampede/pods'
  cluster.answers.set(pods, { items: [fakePod('seckill-1', { [serviceLabel]: 'seckill' }, 'ready')] })
  cluster.answers.set(`${pods}/seckill-1:9090/proxy/metrics`, encodeStat('seckill-1', 1, 20))
  cluster.answers.set('/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces/stampede/podautoscalers', {
    items: [
      {
        metadata: { labels: { [serviceLabel]: 'seckill' }, annotations: { 'autoscaling.knative.dev/min-scale': '1' } },
        status: { desiredScale: 1, actualScale: 1 },
      },
    ],
  })
  const shop = await startIngress(30)
  t.teardown(shop.close)
  const { signingKey } = await createLocalIdentity()
  const api = cluster.address()
  const kubectl = await createFakeKubectl([
    { when: '^proxy', stdout: `Starting to serve on ${api}\n`, stays: true },
    { when: 'secret stampede-signing', stdout: secretOf({ 'private-jwk': JSON.stringify(signingKey) }) },
    {
      when: 'secret stampede-identity',
      stdout: secretOf({
        issuer: 'https://i.test',
        audience: 'a',
        'service-secret': 's'.repeat(32),
        'pass-keys': `k:${Buffer.alloc(32, 1).toString('base64')}`,
      }),
    },
    { when: 'secret', stderr: 'Error from server (NotFound): secrets not found', exitCode: 1 },
    ...['activity', 'inventory', 'seckill', 'order'].map((name) => ({
      when: `services.serving.knative.dev ${name}`,
      stdout: JSON.stringify({ status: { url: `http://${name}.stampede.example.com` } }),
    })),
  ])
  t.teardown(() => kubectl.remove())
  const out = await mkdtemp(join(tmpdir(), 'stampede-observe-'))
  t.teardown(() => rm(out, { recursive: true, force: true }))

  const options = `--profile steady --rate 20 --seconds 3 --stock 30 --starts-in 1 --down-within 20 --json --ingress ${shop.address} --out ${out}`
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', 'scripts/observe.ts', ...options.split(' ')],
    {
      cwd: repositoryFolder,
      env: { ...process.env, PATH: `${kubectl.folder}:${process.env['PATH']}` },
    },
  )
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const exitCode = await new Promise<number | null>((resolve) => child.once('close', resolve))
  t.is(exitCode, 0, stderr)
  t.deepEqual(shop.unknown, [])
  t.is(shop.closed(), 1)

  const summary = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as Summary
  t.is(summary.requests, 60)
  t.is(summary.accepted, 30)
  t.is(summary.answers['sold-out'], 30)
  t.deepEqual(summary.stored, {
    ordersStored: 30,
    oversold: 0,
    lost: 0,
    double: 0,
    stock: 30,
    readFrom: 'the function order, along its route',
  })
  t.is(summary.functions['seckill']?.maxPods, 1)
  t.not(summary.secondsBackToMinimum, null)
  // What could not be read is named, in the summary and once in the terminal.
  t.true(summary.gaps.some(({ source }) => source === 'lag'))
  t.is(stderr.split('Not read: lag').length, 2)

  const files = (await readdir(out)).sort()
  t.deepEqual(
    files.map((name) => name.replace(/^.*Z-/, '')),
    ['steady.csv', 'steady.html'],
  )
  const csv = await readFile(join(out, files[0]!), 'utf8')
  const [head = '', ...rows] = csv.trimEnd().split('\r\n')
  const sent = head.split(',').indexOf('load_sent_per_second')
  t.is(
    rows.reduce((sum, row) => sum + Number(row.split(',')[sent]), 0),
    60,
  )
})

test('observe – without the key of trial clusters it says what to do', async (t) => {
  const cluster = await startFakeCluster()
  t.teardown(() => cluster.close())
  const kubectl = await createFakeKubectl([
    { when: '^proxy', stdout: `Starting to serve on ${cluster.address()}\n`, stays: true },
    { when: 'secret', stderr: 'Error from server (NotFound): secrets not found', exitCode: 1 },
  ])
  t.teardown(() => kubectl.remove())
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', 'scripts/observe.ts'], {
    cwd: repositoryFolder,
    env: { ...process.env, PATH: `${kubectl.folder}:${process.env['PATH']}` },
  })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  t.is(await new Promise((resolve) => child.once('close', resolve)), 1)
  t.regex(stderr, /no Secret stampede-signing.*scripts\/deploy init/s)
})
