/** The engine as a process: as a container runs it. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { createPublisher } from '@stampede/shared/events/publish.ts'
import { createKafka } from '@stampede/shared/kafka/connect.ts'
import { freePort } from '@stampede/shared/testing/free-port.ts'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import { until } from './testing.ts'

const main = fileURLToPath(new URL('main.ts', import.meta.url))
const brokers = serviceAddresses().kafkaBrokers

function run(t: ExecutionContext, environment: Record<string, string>) {
  const child = spawn(process.execPath, ['--disable-warning=TimeoutNegativeWarning', main], {
    env: { LOG_LEVEL: 'fatal', ...environment },
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const said = { error: '' }
  child.stderr.on('data', (chunk) => (said.error += String(chunk)))
  return { child, said, exited: once(child, 'exit').then(([code]) => code as number | null) }
}

test('main – a start that cannot work says everything that is wrong', async (t) => {
  const { said, exited } = run(t, { SINKS: 'order=nowhere', EVENT_AUTHENTICATION: 'oidc', PORT: 'x' })
  t.is(await exited, 78)
  for (const variable of ['KAFKA_BROKERS', 'SINKS', 'EVENT_AUTHENTICATION', 'PORT'])
    t.regex(said.error, new RegExp(`- ${variable}: `), variable)
})

test('main – on SIGTERM what is under way is finished and what still comes is taken; the next one goes on from there', async (t) => {
  const namespace = `t${randomBytes(6).toString('hex')}`
  const arrivals: string[] = []
  const held = Promise.withResolvers<void>()
  const subscriber = createServer((request, response) => {
    const id = String(request.headers['ce-id'])
    arrivals.push(id)
    request.resume()
    void (id === 'slow' ? held.promise : Promise.resolve()).then(() => response.writeHead(204).end())
  })
  await new Promise<void>((resolve) => subscriber.listen(0, '127.0.0.1', resolve))
  // As a ConfigMap is mounted.
  const folder = await mkdtemp(join(tmpdir(), 'engine-main-'))
  await mkdir(join(folder, '..2026_01_02'))
  await symlink('..2026_01_02', join(folder, '..data'))
  await symlink('..data/all.yaml', join(folder, 'all.yaml'))
  const metadata = { name: 'default', namespace, annotations: { 'eventing.knative.dev/broker.class': 'Kafka' } }
  const subscriberRef = { ref: { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name: 'shop' } }
  const documents = [
    { apiVersion: 'eventing.knative.dev/v1', kind: 'Broker', metadata },
    {
      apiVersion: 'eventing.knative.dev/v1',
      kind: 'Trigger',
      metadata: { name: 'all', namespace },
      spec: { broker: 'default', subscriber: { ...subscriberRef, audience: 'stampede/shop' } },
    },
  ]
  await writeFile(join(folder, '..2026_01_02/all.yaml'), documents.map((one) => JSON.stringify(one)).join('\n---\n'))
  t.teardown(async () => {
    subscriber.closeAllConnections()
    subscriber.close()
    await rm(folder, { recursive: true })
    const admin = createKafka({ brokers, clientId: 'engine-test' }).admin()
    await admin.connect()
    await admin.deleteTopics({ topics: [`knative-broker-${namespace}-default`] }).catch(() => {})
    await admin.disconnect()
  })
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const environment = {
    KAFKA_BROKERS: brokers.join(','),
    PORT: String(port),
    HOST: '0.0.0.0',
    MANIFESTS: folder,
    SINKS: `default=http://127.0.0.1:${(subscriber.address() as AddressInfo).port}/{namespace}/{name}`,
    EVENT_AUTHENTICATION: 'none',
    DRAIN_DELAY_MS: '1500',
  }
  const ready = async () => (await fetch(`${url}/health/readiness`).catch(() => undefined))?.status
  const publish = createPublisher({ sink: `${url}/${namespace}/default` })
  const event = (id: string) => ({ specversion: '1.0' as const, id, source: '/test', type: 'a.b', data: {} })

  const first = run(t, environment)
  await until(async () => (await ready()) === 200)
  await publish(event('slow'))
  await until(() => arrivals.includes('slow'))
  first.child.kill('SIGTERM')
  await until(async () => (await ready()) === 503)
  await publish(event('late'))
  held.resolve()
  t.is(await first.exited, 0)
  t.is(first.said.error, '')

  run(t, environment)
  await until(() => arrivals.includes('late'))
  t.deepEqual(arrivals, ['slow', 'late'])
})
