/**
 * Redis, MariaDB and Kafka for a command: each as the environment says; else in containers when an engine answers; else as
 * child processes of Debian's packages, which are installed when they are missing. Everything listens on loopback and keeps
 * its data below `.stampede/`.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { isFree } from '@stampede/shared/testing/free-port.ts'
import { formatDuration, type Say } from '../lib/terminal.ts'
import { tryLock } from '../setup/lock.mjs'
import { projectOf, startContainers } from './containers.ts'
import { findEngine } from './engine.ts'
import { givenService } from './given.ts'
import { startKafka } from './local/kafka.ts'
import type { LocalOptions } from './local/local-service.ts'
import { startMariadb } from './local/mariadb.ts'
import { startRedis } from './local/redis.ts'
import { browserPackages, installPackages, lookAround, neededPackages } from './packages.ts'
import { choosePorts, usualPorts } from './ports.ts'
import { cleanUpAfterCrashes, endServices, readRecord, Records, stateOf } from './records.ts'
import {
  SetupError,
  titleOf,
  variableOf,
  type RunningService,
  type ServiceEnvironment,
  type ServiceName,
} from './types.ts'

export { SetupError, type ServiceEnvironment, type ServiceName } from './types.ts'

export type EnsureOptions = {
  /** Names the run and decides about its data: `start` and `services` keep theirs, all others get a folder that is deleted at the end. */
  purpose: 'start' | 'services' | 'test' | 'bench' | 'drill' | 'fuzz'
  say: Say
  need: readonly ServiceName[]
  /** A browser is needed too; it is only installed, not started. */
  browser?: boolean
  /** Installs packages without asking. */
  assumeYes?: boolean
  /** Instead of the folder of the purpose; kept. */
  dataFolder?: string
  /** Addresses that are given; default: `process.env`. */
  given?: Record<string, string | undefined>
  /** The services go on when this process ends. */
  outlives?: boolean
}

export type Services = {
  environment: ServiceEnvironment
  /** For people: `Redis 7.0.15, port 16379`. */
  descriptions: string[]
  /** Processes of services that are children of this one. */
  pids(): Partial<Record<ServiceName, number>>
  /** Ends what was started, in order; what was given is left alone. */
  stop(): Promise<void>
  /** Sends the signal (default SIGKILL) and waits for the end. */
  kill(target: ServiceName, signal?: NodeJS.Signals): Promise<void>
  /** Starts it again on the same address with the same data; resolves when it answers. */
  restart(target: ServiceName): Promise<void>
}

export const stampedeFolder = join(import.meta.dirname, '..', '..', '.stampede')
const keptPurposes: readonly string[] = ['start', 'services']
const maximumParallelRuns = 20

/** @throws SetupError whose message tells a person what to do */
export async function ensureServices(options: EnsureOptions): Promise<Services> {
  const { say, need } = options
  const given = options.given ?? process.env
  const addressed = need.filter((name) => given[variableOf[name]])
  const own = need.filter((name) => !addressed.includes(name))

  const running = await Promise.all(addressed.map((name) => givenService(name, given[variableOf[name]] as string)))
  for (const service of running) say(service.description)
  if (own.length === 0) {
    await ensureBrowser(options)
    return servicesOf(running, given, async () => {})
  }

  for (const ended of await cleanUpAfterCrashes(stampedeFolder))
    say(`Ended ${ended} that an earlier run had left behind.`)
  const folder = await claimFolder(options)
  try {
    const started = await startOwn(own, folder, options)
    // Installed with the other packages, unless the services came from containers.
    await ensureBrowser(options)
    const services = servicesOf([...running, ...started], given, () => folder.release())
    if (options.outlives) {
      folder.records.record.environment = services.environment
      folder.records.write()
    }
    return services
  } catch (error) {
    await folder.release()
    throw error
  }
}

async function ensureBrowser({ browser, say, assumeYes }: EnsureOptions): Promise<void> {
  const packages = browser ? browserPackages() : []
  if (packages.length > 0) await installPackages(packages, { say, assumeYes: assumeYes ?? false })
}

type RunFolder = { path: string; name: string; keepData: boolean; records: Records; release(): Promise<void> }

/** A folder for this run alone: when another run works in the usual one, the next is tried. */
async function claimFolder(options: EnsureOptions): Promise<RunFolder> {
  const { purpose, dataFolder, say } = options
  const keepData = dataFolder !== undefined || keptPurposes.includes(purpose)
  const first =
    dataFolder === undefined
      ? join(stampedeFolder, ...(keepData ? [purpose] : ['runs', `${purpose}-${process.pid}`]))
      : resolve(dataFolder)
  for (let number = 1; number <= maximumParallelRuns; number += 1) {
    const path = number === 1 ? first : `${first}-${number}`
    mkdirSync(path, { recursive: true })
    const unlock = tryLock(join(path, 'lock'))
    if (!unlock) continue
    const record = readRecord(path)
    const state = stateOf(record)
    if (state === 'busy') {
      unlock()
      continue
    }
    // What an engine that does not answer cannot end does not run either.
    if (record && state === 'stale') await endServices(record).catch((error: Error) => say(error.message))
    if (number > 1) say(`Another run uses the usual data folder; this one uses ${relative(process.cwd(), path)}.`)
    const records = new Records(path, options.outlives ?? false)
    records.write()
    const release = async () => {
      if (keepData) {
        records.ended()
        unlock()
      } else {
        rmSync(path, { recursive: true, force: true, maxRetries: 3 })
      }
    }
    return { path, name: relative(stampedeFolder, path), keepData, records, release }
  }
  throw new SetupError(`${maximumParallelRuns} runs are under way at once; end some of them.`)
}

async function startOwn(
  own: readonly ServiceName[],
  folder: RunFolder,
  options: EnsureOptions,
): Promise<RunningService[]> {
  const { say } = options
  const engine = await findEngine()
  if (engine) {
    say(`A ${engine.name} engine answers; using compose.yaml.`)
    try {
      return await startContainers({
        engine,
        project: projectOf(folder.path, folder.name),
        need: own,
        ports: await portsOf(own, folder, options),
        password: containerPassword(folder),
        keepData: folder.keepData,
        outlives: options.outlives ?? false,
        starting: (containers) => folder.records.startsContainers(containers),
        say,
      })
    } catch (error) {
      if (!(error instanceof SetupError)) throw error
      if (process.env['STAMPEDE_ENGINE'])
        throw new SetupError(
          `${error.message}\nNext: mend it, or leave engines out: STAMPEDE_ENGINE=none (Debian's packages are used instead).`,
          { cause: error },
        )
      say(`${error.message}\nThe containers cannot be used; going on without them.`)
      folder.records.startsContainers(undefined)
    }
  }
  const packages = [
    ...neededPackages(own, await lookAround(stampedeFolder)),
    ...(options.browser ? browserPackages() : []),
  ]
  if (packages.length > 0) await installPackages(packages, { say, assumeYes: options.assumeYes ?? false })
  const missing = neededPackages(own, await lookAround(stampedeFolder))
  if (missing.length > 0) {
    throw new SetupError(
      `The packages of this system are too old or incomplete: ${missing.map(({ name }) => name).join(', ')}. Use Debian 12 or later, an engine, or addresses in the environment.`,
    )
  }
  return startAll(own, folder, await portsOf(own, folder, options), options)
}

/** Of containers whose data is kept the password is that of their first start. */
function containerPassword(folder: RunFolder): string {
  return folder.keepData ? 'stampede' : randomBytes(18).toString('base64url')
}

async function portsOf(
  own: readonly ServiceName[],
  folder: RunFolder,
  options: EnsureOptions,
): Promise<Record<ServiceName, [number, number]>> {
  const ports = { ...usualPorts }
  for (const name of own) {
    const known = folder.records.record.ports[name]
    ports[name] = await choosePorts(
      known ?? (options.purpose === 'start' || options.purpose === 'services' ? usualPorts[name] : undefined),
    )
  }
  rememberPorts(folder, own, ports)
  return ports
}

function rememberPorts(
  folder: RunFolder,
  own: readonly ServiceName[],
  ports: Record<ServiceName, [number, number]>,
): void {
  for (const name of own) folder.records.record.ports[name] = ports[name]
  folder.records.write()
}

const starters: Record<ServiceName, (options: LocalOptions, say: Say) => Promise<RunningService>> = {
  redis: startRedis,
  mariadb: startMariadb,
  kafka: startKafka,
}

async function startAll(
  own: readonly ServiceName[],
  folder: RunFolder,
  ports: Record<ServiceName, [number, number]>,
  options: EnsureOptions,
): Promise<RunningService[]> {
  const { say } = options
  const startOne = async (name: ServiceName): Promise<RunningService> => {
    const beganMs = performance.now()
    const start = () =>
      starters[name](
        {
          folder: join(folder.path, name),
          sharedFolder: stampedeFolder,
          ports: ports[name],
          started: (service, pid) => folder.records.started(service, pid),
          outlives: options.outlives ?? false,
        },
        say,
      )
    mkdirSync(join(folder.path, name), { recursive: true })
    const service = await start().catch(async (error: unknown) => {
      // Somebody took the port between our look and the start.
      if ((await Promise.all(ports[name].filter((port) => port > 0).map(isFree))).every(Boolean)) throw error
      ports[name] = await choosePorts(undefined)
      rememberPorts(folder, [name], ports)
      return start()
    })
    say(`${service.description}: ready in ${formatDuration(performance.now() - beganMs)}`)
    return service
  }
  const results = await Promise.allSettled(own.map(startOne))
  const started = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const failed = results.find((result) => result.status === 'rejected')
  if (!failed) return started
  await Promise.all(started.map((service) => service.stop()))
  throw failed.reason
}

function servicesOf(
  running: readonly RunningService[],
  given: Record<string, string | undefined>,
  release: () => Promise<void>,
): Services {
  const addressOf = (name: ServiceName) =>
    running.find((service) => service.name === name)?.address ?? given[variableOf[name]] ?? ''
  const find = (target: ServiceName): RunningService => {
    const service = running.find(({ name }) => name === target)
    if (!service) throw new Error(`${titleOf[target]} was not asked for`)
    return service
  }
  let stopping: Promise<void> | undefined
  return {
    environment: {
      REDIS_URL: addressOf('redis'),
      DATABASE_URL: addressOf('mariadb'),
      KAFKA_BROKERS: addressOf('kafka'),
    },
    descriptions: running.map(({ description }) => description),
    pids: () => Object.fromEntries(running.flatMap(({ name, pid }) => (pid === undefined ? [] : [[name, pid]]))),
    stop: () =>
      (stopping ??= (async () => {
        const results = await Promise.allSettled(running.map((service) => service.stop()))
        const failed = results.find((result) => result.status === 'rejected')
        // The record stays, and the next run ends what could not be ended now.
        if (failed) throw failed.reason
        await release()
      })()),
    kill: (target, signal = 'SIGKILL') => find(target).kill(signal),
    restart: (target) => find(target).restart(),
  }
}
