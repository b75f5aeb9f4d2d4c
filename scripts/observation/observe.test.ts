/** The whole command, with a program in kubectl's place and servers in the places of the API server and of the ingress. */
import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { createFakeKubectl, createForwardingKubectl } from '../cluster/testing.ts'
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
        case 'activity GET /api/v1/activities':
          return answer(200, { activities: [] })
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

/** One function with a pod, a shop behind the ingress, and what kubectl is asked for. */
async function startPlatform(t: ExecutionContext, stock: number) {
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
  const shop = await startIngress(stock)
  t.teardown(shop.close)
  const { signingKey } = await createLocalIdentity()
  const answers = [
    { when: '^proxy', stdout: `Starting to serve on ${cluster.address()}\n`, stays: true },
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
      // A name that no DNS knows.
      stdout: JSON.stringify({ status: { url: `http://${name}.stampede.test` } }),
    })),
    { when: '-n kourier-system get service kourier', stdout: '{}' },
  ]
  const out = await mkdtemp(join(tmpdir(), 'stampede-observe-'))
  t.teardown(() => rm(out, { recursive: true, force: true }))
  return { cluster, shop, answers, out }
}

/** The command as a person runs it. `watch` sees what it says as it comes. */
async function observe(options: string, folder: string, watch: (said: string) => void = () => undefined) {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', 'scripts/observe.ts', ...options.split(' ')],
    { cwd: repositoryFolder, env: { ...process.env, PATH: `${folder}:${process.env['PATH']}` } },
  )
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
    watch(stderr)
  })
  const exitCode = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { stdout, stderr, exitCode }
}

/** Rows of the table by the names of its columns; an empty cell was not known. */
async function tableIn(out: string): Promise<Record<string, string>[]> {
  const name = (await readdir(out)).find((one) => one.endsWith('.csv')) ?? ''
  const [head = '', ...rows] = (await readFile(join(out, name), 'utf8')).trimEnd().split('\r\n')
  const columns = head.split(',')
  return rows.map((row) => Object.fromEntries(row.split(',').map((cell, index) => [columns[index] ?? '', cell])))
}

test('observe – a whole sale: load along the route, table, page, summary as the last line, guarantees checked', async (t) => {
  const { shop, answers, out } = await startPlatform(t, 30)
  const kubectl = await createFakeKubectl(answers)
  t.teardown(() => kubectl.remove())
  const options = `--profile steady --rate 20 --seconds 3 --stock 30 --starts-in 1 --down-within 20 --json --ingress ${shop.address} --out ${out}`
  const { exitCode, stderr, stdout } = await observe(options, kubectl.folder)
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
  t.is(
    (await tableIn(out)).reduce((sum, row) => sum + Number(row['load_sent_per_second']), 0),
    60,
  )
})

test('observe – outlives a cluster that is away under load: the ways are opened again, the seconds are gaps, the report comes', async (t) => {
  const { cluster, shop, answers, out } = await startPlatform(t, 30)
  const kubectl = await createForwardingKubectl({ api: cluster.address(), ingress: shop.address }, answers)
  t.teardown(() => kubectl.remove())
  let fell: Promise<void> | undefined
  const fall = async () => {
    await kubectl.away(true)
    for (const verb of ['proxy', 'port-forward'])
      for (const pid of await kubectl.running(verb)) process.kill(pid, 'SIGKILL')
    await sleep(3_500)
    await kubectl.away(false)
  }
  const options = `--profile steady --rate 20 --seconds 12 --stock 30 --starts-in 1 --down-within 20 --json --out ${out}`
  const { exitCode, stderr, stdout } = await observe(options, kubectl.folder, (said) => {
    // The load has begun.
    if (/Load: /.test(said)) fell ??= sleep(2_000).then(fall)
  })
  await fell
  t.is(exitCode, 0, stderr)
  t.regex(stderr, /the proxy to the API server is open again after/)
  t.regex(stderr, /the way to kourier-system\/kourier is open again after/)
  const summary = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as Summary
  t.like(summary.stored, { ordersStored: 30, oversold: 0, lost: 0, double: 0 })
  t.is(summary.requests, 240)
  t.true(summary.noAnswer > 0 && summary.answers['sold-out']! > 0, JSON.stringify(summary.answers))

  // Known, then nothing, then known again; and nothing is not zero.
  const table = await tableIn(out)
  const ready = table.map((row) => row['seckill_pods_ready'])
  t.regex(ready.map((cell) => (cell === '' ? '_' : cell)).join(''), /1_+1+/)
  t.false(ready.includes('0'))
  const [silence] = summary.silences
  t.true(silence !== undefined && silence.toSecond - silence.fromSecond >= 1, JSON.stringify(summary.silences))
  for (const row of table.slice(silence!.fromSecond, silence!.toSecond + 1)) {
    t.is(row['seckill_desired'], '')
    t.is(row['stock_left'], '')
  }
})

test('observe – without the key of trial clusters it says what to do', async (t) => {
  const cluster = await startFakeCluster()
  t.teardown(() => cluster.close())
  const kubectl = await createFakeKubectl([
    { when: '^proxy', stdout: `Starting to serve on ${cluster.address()}\n`, stays: true },
    { when: 'secret', stderr: 'Error from server (NotFound): secrets not found', exitCode: 1 },
  ])
  t.teardown(() => kubectl.remove())
  const { exitCode, stderr } = await observe('--profile sale', kubectl.folder)
  t.is(exitCode, 1)
  t.regex(stderr, /no Secret stampede-signing.*scripts\/deploy init/s)
})
