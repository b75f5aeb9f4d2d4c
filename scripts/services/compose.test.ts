/** compose.yaml against what the images and the commands expect of it, for machines on which no engine can try it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { parse } from 'yaml'
import { z } from 'zod'
import { composeEnvironment } from './containers.ts'
import { serviceNames, type ServiceName } from './types.ts'

const seconds = z.string().regex(/^[1-9]\d*s$/)
/** Strict: a misspelt key is an error in an engine, or worse is not. */
const composeFile = z.strictObject({
  services: z.record(
    z.string(),
    z.strictObject({
      image: z.string(),
      command: z.array(z.string()).optional(),
      environment: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
      ports: z.array(z.string()),
      volumes: z.array(z.string()),
      healthcheck: z.strictObject({
        test: z.array(z.string()),
        interval: seconds,
        timeout: seconds,
        retries: z.int().min(1),
      }),
    }),
  ),
  volumes: z.record(z.string(), z.null()),
})
const text = await readFile(join(import.meta.dirname, '..', '..', 'compose.yaml'), 'utf8')

/** As an engine puts in what is set, or the default. */
const readCompose = (variables: Record<string, string>) =>
  composeFile.parse(
    parse(text.replaceAll(/\$\{(\w+):-([^}]*)\}/g, (_, name: string, fallback: string) => variables[name] ?? fallback)),
  )

/** Port inside, and the folder that the image keeps its data in. */
const insides: Record<ServiceName, { port: number; data: string }> = {
  redis: { port: 6_379, data: '/data' },
  mariadb: { port: 3_306, data: '/var/lib/mysql' },
  kafka: { port: 9_092, data: '/var/lib/kafka/data' },
}
const ports: Record<ServiceName, [number, number]> = { redis: [41, 0], mariadb: [42, 0], kafka: [43, 44] }
const variables = composeEnvironment({ ports, password: 'p' })
const compose = readCompose(variables)

test('compose.yaml – has the services that commands ask for, each with its data in a volume', (t) => {
  t.deepEqual(Object.keys(compose.services).sort(), [...serviceNames].sort())
  t.deepEqual(Object.keys(compose.volumes).sort(), [...serviceNames].sort())
  for (const name of serviceNames) t.deepEqual(compose.services[name]?.volumes, [`${name}:${insides[name].data}`])
})

test('compose.yaml – publishes the asked port on loopback alone, and uses every variable and no other', (t) => {
  for (const name of serviceNames)
    t.deepEqual(compose.services[name]?.ports, [`127.0.0.1:${ports[name][0]}:${insides[name].port}`])
  const used = [...text.matchAll(/\$\{(\w+)/g)].map(([, name]) => name ?? '')
  t.deepEqual([...new Set(used)].sort(), Object.keys(variables).sort())
  // By hand it works as well: everything has a default.
  t.deepEqual([...text.matchAll(/\$\{\w+(?!:-)[^\w:]/g)], [])
  t.is(Object.keys(readCompose({}).services).length, 3)
})

test('compose.yaml – images say registry and version: Podman knows no default registry', (t) => {
  for (const { image } of Object.values(compose.services))
    t.regex(image, /^docker\.io\/[a-z]+\/[a-z]+:\d+\.\d+[\w.-]*$/)
})

test('compose.yaml – every service says when it is healthy, by a program that costs little', (t) => {
  const programs = ['redis-cli', 'healthcheck.sh', 'bash']
  for (const { healthcheck } of Object.values(compose.services)) {
    const [kind, program] = healthcheck.test
    t.is(kind, 'CMD')
    t.true(programs.includes(program ?? ''), program)
    // A first start on a slow machine takes a minute.
    t.true(Number.parseInt(healthcheck.interval, 10) * healthcheck.retries >= 60)
  }
})

test('compose.yaml – Redis keeps what it acknowledged, MariaDB takes the password of the commands', (t) => {
  const redis = compose.services['redis']?.command ?? []
  t.is(redis[0], 'redis-server')
  // Pairs: a word too many makes Redis refuse its start.
  t.is(redis.length % 2, 1)
  const settings = Object.fromEntries(
    redis.slice(1).flatMap((word, index, words) => (index % 2 === 0 ? [[word, words[index + 1]]] : [])),
  )
  t.like(settings, { '--appendonly': 'yes', '--save': '', '--maxmemory-policy': 'noeviction' })
  t.like(compose.services['mariadb']?.environment, { MARIADB_ROOT_PASSWORD: 'p', MARIADB_DATABASE: 'stampede' })
  for (const word of compose.services['mariadb']?.command ?? []) t.regex(word, /^--[a-z0-9-]+(=\S+)?$/)
})

test('compose.yaml – Kafka: one node, whose listeners fit together and lead back to the published port', (t) => {
  const environment = Object.fromEntries(
    Object.entries(compose.services['kafka']?.environment ?? {}).map(([name, value]) => [name, String(value)]),
  )
  const listenersOf = (name: string) =>
    new Map((environment[name] ?? '').split(',').map((listener) => listener.split('://') as [string, string]))
  const [listeners, advertised] = [listenersOf('KAFKA_LISTENERS'), listenersOf('KAFKA_ADVERTISED_LISTENERS')]
  const controller = environment['KAFKA_CONTROLLER_LISTENER_NAMES'] ?? ''
  t.is(advertised.get('HOST'), `127.0.0.1:${ports.kafka[0]}`)
  t.is(listeners.get('HOST'), `0.0.0.0:${insides.kafka.port}`)
  // A controller is not advertised; everything else is.
  t.deepEqual([...advertised.keys(), controller].sort(), [...listeners.keys()].sort())
  t.deepEqual(
    (environment['KAFKA_LISTENER_SECURITY_PROTOCOL_MAP'] ?? '').split(',').sort(),
    [...listeners.keys()].map((name) => `${name}:PLAINTEXT`).sort(),
  )
  t.true(advertised.has(environment['KAFKA_INTER_BROKER_LISTENER_NAME'] ?? ''))
  t.is(environment['KAFKA_CONTROLLER_QUORUM_VOTERS'], `${environment['KAFKA_NODE_ID']}@${listeners.get(controller)}`)
  t.is(Buffer.from(environment['CLUSTER_ID'] ?? '', 'base64url').length, 16)
  t.is(environment['KAFKA_LOG_DIRS'], insides.kafka.data)
  const looked = /\/dev\/tcp\/(.*)$/.exec(compose.services['kafka']?.healthcheck.test.at(-1) ?? '')?.[1]
  t.is(looked?.replace('/', ':'), listeners.get('INTERNAL'))
  for (const name of Object.keys(environment).filter((one) => one.endsWith('REPLICATION_FACTOR')))
    t.is(environment[name], '1', name)
})
