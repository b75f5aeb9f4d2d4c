/**
 * The platform as processes on this machine: all in one behind the gateway (`npm start`), or the sale's path apart, as in production
 * (bench, drills).
 */
import { join } from 'node:path'
import { freePort } from '@stampede/shared/testing/services.ts'
import { ManagedProcess, repositoryFolder } from './child.ts'

export type PlatformOptions = {
  /** Addresses of Redis, the database and Kafka. */
  services: Record<string, string>
  /** Keys and secrets (see identity.ts). */
  identity: Record<string, string>
  /** Folder for the logs. */
  logFolder: string
  environment?: Record<string, string>
}

export type Platform = {
  /** Where a function is called from outside: through the gateway, where there is one. */
  url: (name: FunctionName) => string
  /** Where a function itself listens. */
  directUrl: (name: FunctionName) => string
  ingressUrl: string
  processes: Map<string, ManagedProcess>
  start(): Promise<void>
  stop(): Promise<void>
}

export const functionNames = [
  'activity',
  'seckill',
  'inventory',
  'order',
  'reconciliation',
  'tenant',
  'permission',
  'auth',
  'user',
  'audit',
  'notification',
] as const
export type FunctionName = (typeof functionNames)[number]

const loopback = (port: number) => `http://127.0.0.1:${port}`

function commonEnvironment(
  options: PlatformOptions,
  ingressUrl: string,
  urls: (name: FunctionName) => string,
): Record<string, string> {
  return {
    ...options.services,
    ...options.identity,
    HOST: '127.0.0.1',
    LOG_LEVEL: 'warn',
    K_SINK: `${ingressUrl}/stampede/default`,
    CONFIGURATION_FOLDER: join(import.meta.dirname, 'configuration'),
    AUTH_JWKS_URL: `${urls('auth')}/.well-known/jwks.json`,
    ...Object.fromEntries(functionNames.map((name) => [`${name.toUpperCase()}_URL`, urls(name)])),
    ...options.environment,
  }
}

function assemble(
  directUrl: (name: FunctionName) => string,
  ingressUrl: string,
  processes: ManagedProcess[],
  url = directUrl,
): Platform {
  return {
    url,
    directUrl,
    ingressUrl,
    processes: new Map(processes.map((managed) => [managed.plan.name, managed])),
    async start() {
      // The functions create their tables and the topics when they start, side by side.
      await Promise.all(processes.map((managed) => managed.start()))
    },
    async stop() {
      // Order matters little: what is in flight is in Redis, Kafka and the outboxes.
      await Promise.all(processes.map((managed) => managed.stop()))
    },
  }
}

function engineProcess(
  environment: Record<string, string>,
  port: number,
  urls: (name: FunctionName) => string,
  logFolder: string,
): ManagedProcess {
  return new ManagedProcess({
    name: 'eventing',
    entry: join('eventing', 'engine', 'main.ts'),
    environment: {
      ...environment,
      PORT: String(port),
      SINKS: functionNames.map((name) => `${name}=${urls(name)}`).join(','),
    },
    logFile: join(repositoryFolder, logFolder, 'eventing.log'),
    readyUrl: `${loopback(port)}/health/readiness`,
  })
}

/** All functions in one process, the eventing engine beside it, and the gateway on `port` in front of them. */
export async function wholePlatform(platform: PlatformOptions, port: number): Promise<Platform> {
  const [enginePort, collectionPort] = await Promise.all([freePort(), freePort()])
  const urls = () => loopback(collectionPort)
  const environment = commonEnvironment(platform, loopback(enginePort), urls)
  const process = (name: string, entry: string, ownPort: number) =>
    new ManagedProcess({
      name,
      entry,
      environment: { ...environment, PORT: String(ownPort) },
      logFile: join(repositoryFolder, platform.logFolder, `${name}.log`),
      readyUrl: `${loopback(ownPort)}/health/readiness`,
    })
  return assemble(
    urls,
    loopback(enginePort),
    [
      process('stampede', join('functions', 'main.ts'), collectionPort),
      process('gateway', join('functions', 'gateway', 'main.ts'), port),
      engineProcess(environment, enginePort, urls, platform.logFolder),
    ],
    () => loopback(port),
  )
}

/** `seckill`, `order` and the eventing engine as processes of their own; the other functions together in one. */
export async function splitPlatform(platform: PlatformOptions): Promise<Platform> {
  const [enginePort, seckillPort, orderPort, officePort] = await Promise.all([
    freePort(),
    freePort(),
    freePort(),
    freePort(),
  ])
  const urls = (name: FunctionName) =>
    loopback(name === 'seckill' ? seckillPort : name === 'order' ? orderPort : officePort)
  const environment = commonEnvironment(platform, loopback(enginePort), urls)
  const functionProcess = (name: string, entry: string, port: number, more: Record<string, string> = {}) =>
    new ManagedProcess({
      name,
      entry,
      environment: { ...environment, PORT: String(port), ...more },
      logFile: join(repositoryFolder, platform.logFolder, `${name}.log`),
      readyUrl: `${loopback(port)}/health/readiness`,
    })
  return assemble(urls, loopback(enginePort), [
    functionProcess('seckill', join('functions', 'seckill', 'main.ts'), seckillPort),
    functionProcess('order', join('functions', 'order', 'main.ts'), orderPort),
    functionProcess('office', join('functions', 'main.ts'), officePort, {
      FUNCTIONS: functionNames.filter((name) => name !== 'seckill' && name !== 'order').join(','),
    }),
    engineProcess(environment, enginePort, urls, platform.logFolder),
  ])
}
