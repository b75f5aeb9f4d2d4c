/** Runs function definitions: one in its own process, or many in one (`npm start`, small installations, tests). */
import type { Server } from 'node:http'
import process from 'node:process'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Logger } from 'pino'
import { ConfigurationError, parseEnvironment } from '../config/environment.ts'
import type { Environment } from '../config/environment.ts'
import { documentFile } from '../configuration/document-file.ts'
import { openConfiguration } from '../configuration/open-configuration.ts'
import { retriesSchema, usualRetries } from '../events/retries.ts'
import { createTokenVerifier } from '../identity/access-token.ts'
import { createLog } from '../telemetry/log.ts'
import { createFunctionRegistry, createProcessRegistry } from '../telemetry/metrics.ts'
import { startTracing } from '../telemetry/tracing.ts'
import { accessCheckerOf } from './access-checker.ts'
import { checkDeclarations } from './check-declarations.ts'
import type { AnyFunction } from './declaration.ts'
import { createDispatch } from './dispatch.ts'
import { createFront } from './front.ts'
import { createReadiness } from './health.ts'
import { hostConfig, hostConfigProblems } from './host-config.ts'
import type { HostConfig } from './host-config.ts'
import type { Host, Measures } from './host.ts'
import { alarmsOf, createHostAlarms } from './host-alarms.ts'
import { createInFlight } from './in-flight.ts'
import type { InFlight } from './in-flight.ts'
import { endHost, ownProcess, stopFunctions } from './life.ts'
import { openApiOf } from './openapi.ts'
import { rawEntriesOf } from './raw.ts'
import type { HotEntry, RawEntry } from './raw.ts'
import { startRuntime, urlOf } from './runtime.ts'

export type ServeOptions = {
  /** Before PORT; 0 takes a free port. */
  port?: number
  /** Before HOST; without either all addresses. */
  host?: string
  /**
   * Default: the process' own, and then the process belongs to the host: signals drain and exit, failures at start and
   * uncaught exceptions exit with 1. With an environment given here (tests, embedding) failures are thrown.
   */
  environment?: Environment
  log?: Logger
}

export type Serving = {
  /** Without a trailing slash; loopback when the host listens on all addresses. */
  url: string
  server: Server
  /** Drains and cleans up; does not end the process. */
  stop: () => Promise<void>
}

/** Throws ConfigurationError with all problems of the environment at once, or what `connect` or listening threw. */
export async function serve(definitions: readonly AnyFunction[], options: ServeOptions = {}): Promise<Serving> {
  if (options.environment) return (await begin(definitions, options, options.environment)).serving
  const { serving, stopWithDelay, log } = await begin(definitions, options, process.env).catch((error: unknown) => {
    console.error(startFailure(error))
    process.exit(1)
  })
  ownProcess(stopWithDelay, log)
  return serving
}

async function begin(definitions: readonly AnyFunction[], options: ServeOptions, environment: Environment) {
  const name = definitions.length === 1 ? definitions[0]!.name : 'stampede'
  const [config, ...functionConfigs] = parseEnvironment(
    environment,
    [
      { name: 'the host', schema: hostConfig },
      ...definitions.map((definition) => ({ name: definition.name, schema: definition.config })),
    ],
    ([own]) => hostConfigProblems(own as HostConfig, definitions),
  ) as [HostConfig, ...unknown[]]
  checkDeclarations(definitions)
  const log = options.log ?? createLog({ level: config.LOG_LEVEL, service: name })
  const tracing = await startTracing(environment, name)
  const hostRegistry = new Registry()
  const alarms = createHostAlarms(config.REDIS_URL, log, hostRegistry)
  const host: Host = {
    config,
    log,
    verifier: createTokenVerifier({
      jwks: config.AUTH_JWKS,
      jwksUrl: config.AUTH_JWKS_URL,
      issuer: config.AUTH_ISSUER,
      audience: config.AUTH_AUDIENCE,
      serviceSecret: config.SERVICE_SECRET,
    }),
    access: accessCheckerOf(config, log, hostRegistry, alarms),
    alarms,
    retries: openConfiguration({
      name: 'retries',
      schema: retriesSchema,
      file: documentFile(config.CONFIGURATION_FOLDER, 'retries'),
      initial: usualRetries,
      log,
      metrics: hostRegistry,
    }),
    mounted: [],
    registries: [],
    measures: createMeasures(hostRegistry),
    closing: false,
    draining: new AbortController(),
    ending: new AbortController(),
  }
  await mount(host, definitions, functionConfigs)
  host.registries = [createProcessRegistry(), hostRegistry, ...host.mounted.map(({ metrics }) => metrics)]

  const raw = rawEntriesOf(host)
  const requests = createInFlight(config.MAX_IN_FLIGHT)
  const events = createInFlight(config.MAX_EVENTS_IN_FLIGHT)
  registerGauges(hostRegistry, { requests, events }, [
    ...raw.hot,
    ...raw.mounts,
    ...(raw.fallback ? [raw.fallback] : []),
  ])
  const openApi = () => JSON.stringify(definitions.find((one) => one.openApi)?.openApi?.() ?? openApiOf(definitions))
  const { invoke, knows } = createDispatch(host, raw.hot)
  const runtime = await startRuntime({
    port: options.port ?? config.PORT,
    host: options.host ?? config.HOST,
    requestTimeoutMs: config.REQUEST_TIMEOUT_MS,
    front: createFront({ host, ...raw, knows, requests, events, readiness: createReadiness(host), openApi }),
    invoke,
  }).catch(async (error: unknown) => {
    await stopFunctions(host)
    await Promise.all([host.access.close(), alarms.close()])
    throw error
  })
  const { server } = runtime
  const url = urlOf(server)
  log.info({ url, functions: definitions.map((definition) => definition.name) }, 'listening')

  let stopped: Promise<void> | undefined
  const stopAfter = (delayMs: number) => {
    stopped ??= endHost(host, runtime, delayMs).then(async () => tracing.stop())
    return stopped
  }
  const serving: Serving = { url, server, stop: async () => stopAfter(0) }
  return { serving, stopWithDelay: async () => stopAfter(config.DRAIN_DELAY_MS), log }
}

/** Connects one function after the other; when one fails, those before it are stopped. */
async function mount(host: Host, definitions: readonly AnyFunction[], configs: readonly unknown[]): Promise<void> {
  for (const [index, definition] of definitions.entries()) {
    const log = host.log.child({ function: definition.name })
    const metrics = createFunctionRegistry(definition.name)
    const services = {
      name: definition.name,
      log,
      metrics,
      access: host.access,
      retries: () => host.retries.current(),
      alarms: alarmsOf(host.alarms, definition.name),
      draining: host.draining.signal,
    }
    try {
      host.mounted.push({ definition, dependencies: await definition.connect(configs[index], services), log, metrics })
    } catch (error) {
      host.draining.abort()
      await stopFunctions(host)
      throw error
    }
  }
}

function createMeasures(registry: Registry): Measures {
  const registers = [registry]
  return {
    requestSeconds: new Histogram({
      name: 'http_request_duration_seconds',
      help: 'Time from the routing to the end of the answer, without hot routes.',
      labelNames: ['route', 'method', 'status'],
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    eventSeconds: new Histogram({
      name: 'event_duration_seconds',
      help: 'Time a function took for an event; the outcome is done, refused or retry.',
      labelNames: ['function', 'type', 'outcome'],
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }),
    refused: new Counter({
      name: 'http_overload_refusals_total',
      help: 'Requests and events that were refused because a limit of work in flight was reached.',
      labelNames: ['reason'],
      registers,
    }),
  }
}

function registerGauges(
  registry: Registry,
  inFlight: Record<string, InFlight>,
  hot: readonly (HotEntry | RawEntry)[],
): void {
  const inFlightGauge = new Gauge({
    name: 'http_requests_in_flight',
    help: 'Ordinary requests and events that are being worked on.',
    labelNames: ['kind'],
    registers: [],
    collect() {
      for (const [kind, { count }] of Object.entries(inFlight)) this.set({ kind }, count)
    },
  })
  const hotCounter = new Counter({
    name: 'http_hot_requests_total',
    help: 'Requests of hot routes; their outcomes are counted by the functions.',
    labelNames: ['route', 'method'],
    registers: [],
    collect() {
      this.reset()
      for (const { path, method, count } of hot) this.inc({ route: path, method }, count)
    },
  })
  registry.registerMetric(inFlightGauge)
  registry.registerMetric(hotCounter)
}

function startFailure(error: unknown): string {
  if (error instanceof ConfigurationError) return error.message
  if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
    return `The address is taken by another process (${error.message}). Set PORT to a free port, or end that process.`
  }
  return `The start failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
}
