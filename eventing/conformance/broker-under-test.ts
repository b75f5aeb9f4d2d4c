/**
 * What the suite runs against. Without further settings: the local engine as a child process on the Kafka of KAFKA_BROKERS. A
 * broker on a cluster: see `README.md` of this folder.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { createKafka } from '@stampede/shared/kafka/connect.ts'
import { brokerName, conformanceManifests } from './manifests.ts'
import { Subscriber } from './subscriber.ts'

export type BrokerUnderTest = {
  ingressUrl: string
  subscriber: Subscriber
  /** Events of this run begin their ids with it. */
  run: string
  /** Is it the local engine? Some of what it promises goes further than Knative. */
  local: boolean
  /** Does it keep the order of a partition key? */
  ordered: boolean
  /** Kills what delivers events, without warning, and starts it again. Undefined when that is not possible. */
  crash: (() => Promise<void>) | undefined
  stop(): Promise<void>
}

export async function brokerUnderTest(environment: NodeJS.ProcessEnv = process.env): Promise<BrokerUnderTest> {
  const run = `c${randomBytes(6).toString('hex')}`
  const ingressUrl = environment['BROKER_INGRESS_URL']
  return ingressUrl === undefined ? localEngine(run, environment) : remoteBroker(run, ingressUrl, environment)
}

async function remoteBroker(run: string, ingressUrl: string, environment: NodeJS.ProcessEnv): Promise<BrokerUnderTest> {
  const subscriber = await Subscriber.start({ host: '0.0.0.0', port: Number(environment['SUBSCRIBER_PORT'] ?? 7_000) })
  const command = environment['BROKER_CRASH_COMMAND']
  return {
    ingressUrl,
    subscriber,
    run,
    local: false,
    ordered: environment['BROKER_ORDERED'] !== 'no',
    crash: command === undefined ? undefined : async () => void (await promisify(execFile)('/bin/sh', ['-c', command])),
    stop: () => subscriber.stop(),
  }
}

const startLimitMs = 60_000

async function localEngine(run: string, environment: NodeJS.ProcessEnv): Promise<BrokerUnderTest> {
  const brokers = environment['KAFKA_BROKERS']
  if (brokers === undefined)
    throw new Error('KAFKA_BROKERS is not set: start the services ("npm run services") or give BROKER_INGRESS_URL')
  const namespace = run
  const subscriber = await Subscriber.start()
  const manifests = conformanceManifests({ subscriberUrl: `http://127.0.0.1:${subscriber.port}`, namespace })
  const folder = await mkdtemp(join(tmpdir(), 'stampede-conformance-'))
  await writeFile(join(folder, 'manifests.yaml'), manifests.map((manifest) => stringify(manifest)).join('---\n'))
  // The same port after a crash: publishers know only one address.
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const start = async () => {
    const child = spawn(
      process.execPath,
      ['--disable-warning=TimeoutNegativeWarning', fileURLToPath(new URL('../engine/main.ts', import.meta.url))],
      {
        env: {
          ...environment,
          KAFKA_BROKERS: brokers,
          PORT: String(port),
          MANIFESTS: folder,
          EVENT_AUTHENTICATION: 'none',
          DRAIN_DELAY_MS: '0',
          LOG_LEVEL: 'error',
        },
        stdio: ['ignore', 'inherit', 'inherit'],
      },
    )
    await untilReady(child, url)
    return child
  }
  let child = await start()
  return {
    ingressUrl: `${url}/${namespace}/${brokerName}`,
    subscriber,
    run,
    local: true,
    ordered: true,
    crash: async () => {
      await end(child, 'SIGKILL')
      child = await start()
    },
    stop: async () => {
      await end(child, 'SIGTERM')
      await subscriber.stop()
      await rm(folder, { recursive: true, force: true })
      await deleteTopic(brokers, `knative-broker-${namespace}-${brokerName}`)
    },
  }
}

async function untilReady(child: ChildProcess, url: string): Promise<void> {
  const deadline = performance.now() + startLimitMs
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the engine ended with code ${child.exitCode}`)
    const answer = await fetch(`${url}/health/readiness`).catch(() => undefined)
    await answer?.arrayBuffer()
    if (answer?.ok) return
    if (performance.now() > deadline) throw new Error(`the engine was not ready within ${startLimitMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  await ended
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function deleteTopic(brokers: string, topic: string): Promise<void> {
  const admin = createKafka({ brokers: brokers.split(','), clientId: 'conformance' }).admin()
  await admin.connect()
  await admin.deleteTopics({ topics: [topic] }).catch(() => {})
  await admin.disconnect()
}
