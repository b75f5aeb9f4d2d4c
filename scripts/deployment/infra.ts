/**
 * The step `infra`: Redis, Kafka and MariaDB in the cluster, or the addresses of those that are elsewhere. Either way the functions
 * find them in three Secrets.
 */
import { randomBytes } from 'node:crypto'
import { readSecret } from '../cluster/identity.ts'
import { applyStage } from './apply.ts'
import { DeployError, namespace, type DeployContext } from './context.ts'
import type { Manifest } from '../cluster/manifest.ts'
import { renderFolder } from './manifests.ts'
import { explainPods } from './pods.ts'
import { definedOnly, ensureSecret } from './secrets.ts'
import { waitUntilReady } from './wait.ts'

export const infraKinds = ['statefulsets', 'external'] as const
export type InfraOptions = {
  /** Undefined: `external` when an address is given or stored, otherwise `statefulsets`. */
  infra: (typeof infraKinds)[number] | undefined
  /** Options of the command line; the environment is the better place, others on the machine see options. */
  redisUrl: string | undefined
  kafkaBrokers: string | undefined
  databaseUrl: string | undefined
}

type Addresses = { redis: string; kafka: string; database: string }

const infraNamespace = 'infra'

export async function infra(context: DeployContext, options: InfraOptions): Promise<void> {
  const { environment } = context
  const given = definedOnly({
    redis: options.redisUrl ?? environment['REDIS_URL'],
    kafka: options.kafkaBrokers ?? environment['KAFKA_BROKERS'],
    database: options.databaseUrl ?? environment['DATABASE_URL'],
  })
  const isExternal = Object.keys(given).length > 0 || (await externalIsStored(context))
  const kind = options.infra ?? (isExternal ? 'external' : 'statefulsets')
  if (kind === 'external') await external(context, given)
  else await statefulSets(context, given)
}

/** Addresses are stored, and not those of our own servers: they must not be replaced because nobody repeated them. */
async function externalIsStored({ kubectl }: DeployContext): Promise<boolean> {
  if ((await readSecret(kubectl, namespace, 'stampede-redis')) === undefined) return false
  return (await readSecret(kubectl, infraNamespace, 'redis')) === undefined
}

async function external(context: DeployContext, given: Partial<Addresses>): Promise<void> {
  checkAddresses(given)
  const missing: string[] = []
  const store = async (name: string, key: string, value: string | undefined, variable: string) => {
    const data = await ensureSecret(context, {
      name,
      stage: 'infra',
      given: definedOnly({ [key]: value }),
      missing: () => ({}),
    })
    if (data[key] === undefined) missing.push(variable)
  }
  await store('stampede-redis', 'url', given.redis, 'REDIS_URL')
  await store('stampede-kafka', 'brokers', given.kafka, 'KAFKA_BROKERS')
  await store('stampede-database', 'url', given.database, 'DATABASE_URL')
  if (missing.length > 0)
    throw new DeployError(
      `--infra external needs ${missing.join(', ')} in the environment: redis://[user:password@]host:port, host:port,…, mysql://user:password@host:port/database. Addresses as pods see them.`,
    )
  context.say('Whether pods can reach these addresses is tried by the step services.')
}

/** Without quoting them: they hold passwords. */
export function checkAddresses(given: Partial<Addresses>): void {
  const problems: string[] = []
  const { redis, kafka, database } = given
  if (redis !== undefined && !/^redis(s?|s?-cluster|s?-sentinel):\/\/\S+$/.test(redis.replace(/^rediss-/, 'redis-')))
    problems.push('REDIS_URL is not redis://host:port, redis-cluster://… or redis-sentinel://…')
  if (kafka !== undefined && !/^[^\s:,/]+:\d+(,\s*[^\s:,/]+:\d+)*$/.test(kafka))
    problems.push('KAFKA_BROKERS is not host:port,host:port')
  if (database !== undefined) {
    const url = URL.canParse(database) ? new URL(database) : undefined
    if (url === undefined || !['mysql:', 'mariadb:'].includes(url.protocol) || url.pathname.length < 2)
      problems.push('DATABASE_URL is not mysql://user:password@host:port/database')
  }
  for (const [variable, value] of [
    ['REDIS_URL', redis],
    ['KAFKA_BROKERS', kafka],
    ['DATABASE_URL', database],
  ] as const)
    if (value !== undefined && /(^|@|\/\/|,)(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)(:|\/|,|$)/.test(value))
      problems.push(`${variable} names this machine's loopback address, which pods cannot reach`)
  if (problems.length > 0) throw new DeployError(`${problems.join('; ')}.`)
}

/** Safe in a URL as it is. */
const newPassword = () => randomBytes(24).toString('base64url')

async function statefulSets(context: DeployContext, given: Partial<Addresses>): Promise<void> {
  if (Object.keys(given).length > 0)
    context.say('REDIS_URL, KAFKA_BROKERS and DATABASE_URL are not used with --infra statefulsets.')
  const rendered = await renderFolder(context.kubectl, `knative/overlays/${context.overlay}/infra`)
  const isNamespace = ({ kind }: Manifest) => kind === 'Namespace'
  await applyStage(
    context,
    'infra',
    rendered.filter((manifest) => isNamespace(manifest)),
  )

  const place = { stage: 'infra', namespace: infraNamespace, given: {} } as const
  const redis = await ensureSecret(context, { ...place, name: 'redis', missing: () => ({ password: newPassword() }) })
  const mariadb = await ensureSecret(context, {
    ...place,
    name: 'mariadb',
    missing: () => ({ password: newPassword(), 'root-password': newPassword() }),
  })
  await storeAddresses(context, {
    redis: `redis://:${redis['password'] ?? ''}@redis.${infraNamespace}.svc.cluster.local:6379`,
    kafka: `kafka.${infraNamespace}.svc.cluster.local:9092`,
    database: `mysql://stampede:${mariadb['password'] ?? ''}@mariadb.${infraNamespace}.svc.cluster.local:3306/stampede`,
  })
  const applied = await applyStage(
    context,
    'infra',
    rendered.filter((manifest) => !isNamespace(manifest)),
  )
  const sets = applied.filter(({ kind }) => kind === 'StatefulSet')
  await waitUntilReady(
    context,
    sets.map(({ metadata }) => ({ resource: 'statefulsets.apps', name: metadata.name, namespace: infraNamespace })),
    {
      explain: async ({ name }) => [
        ...(await explainPods(context.kubectl, `app.kubernetes.io/name=${name}`, { place: infraNamespace })),
        `volumes: kubectl -n ${infraNamespace} get persistentvolumeclaims (Pending: the cluster has no default StorageClass)`,
      ],
    },
  )
}

async function storeAddresses(context: DeployContext, { redis, kafka, database }: Addresses): Promise<void> {
  for (const [name, data] of [
    ['stampede-redis', { url: redis }],
    ['stampede-kafka', { brokers: kafka }],
    ['stampede-database', { url: database }],
  ] as const)
    await ensureSecret(context, { name, stage: 'infra', namespace, given: data, missing: () => ({}) })
}
