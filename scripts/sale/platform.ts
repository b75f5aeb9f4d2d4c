/**
 * The platform as processes on this machine: all in one (`npm start`), or the sale's path apart, as in production (bench, drills).
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
  /** Public address: purchases, results, activities, orders. */
  url: (name: FunctionName) => string
  ingressUrl: string
  processes: Map<string, ManagedProcess>
  start(): Promise<void>
  stop(): Promise<void>
}

const functionNames = ['activity', 'seckill', 'inventory', 'order', 'reconciliation'] as const
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
    // One machine plays the crowd, too: 64 tries for each buyer, where a phone makes 65,536.
    CHALLENGE_DIFFICULTY_BITS: '6',
    K_SINK: `${ingressUrl}/stampede/default`,
    ...Object.fromEntries(functionNames.map((name) => [`${name.toUpperCase()}_URL`, urls(name)])),
    ...options.environment,
  }
}

function assemble(urls: (name: FunctionName) => string, ingressUrl: string, processes: ManagedProcess[]): Platform {
  return {
    url: urls,
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

/** All functions in one process, on `port`, and the eventing engine beside it. */
export async function wholePlatform(platform: PlatformOptions, port: number): Promise<Platform> {
  const enginePort = await freePort()
  const urls = () => loopback(port)
  const environment = commonEnvironment(platform, loopback(enginePort), urls)
  return assemble(urls, loopback(enginePort), [
    new ManagedProcess({
      name: 'stampede',
      entry: join('functions', 'main.ts'),
      environment: { ...environment, PORT: String(port) },
      logFile: join(repositoryFolder, platform.logFolder, 'stampede.log'),
      readyUrl: `${loopback(port)}/health/readiness`,
    }),
    engineProcess(environment, enginePort, urls, platform.logFolder),
  ])
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
      FUNCTIONS: 'activity,inventory,reconciliation',
    }),
    engineProcess(environment, enginePort, urls, platform.logFolder),
  ])
}
