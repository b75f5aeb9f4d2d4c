/**
 * What a function author writes. The declaration is static: one list of routes, events and schedules yields the routing, the
 * OpenAPI document, the Triggers, the PingSources and the permission matrix, without starting anything.
 *
 *   export const coupon = defineFunction({
 *     name: 'coupon',
 *     summary: 'Coupons: templates, issue, redemption.',
 *     config: z.object({ DATABASE_URL: z.string() }),
 *     connect: (config, host) => createCoupons(config, host),
 *     routes: [route('POST', '/api/v1/coupons/:couponId/claims', { auth: 'user', summary: '…', body: ClaimInput, reply: Claim }, claim)],
 *     events: [on(orderCancelled, returnCoupons, { ordered: true })],
 *     schedules: [every('expire-coupons', '41 * * * *', expireCoupons, { alarm: true })],
 *     stop: (coupons) => coupons.close(),
 *   })
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { z } from 'zod'
import type { EventDefinition } from '@stampede/eventing/catalogue/definition.ts'
import type { AccessChecker } from '../access/types.ts'
import type { Permission } from '../access/permissions.ts'
import type { Retries } from '../events/retries.ts'
import type { ProblemCode } from '../http/problem.ts'
import type { FunctionAlarms, Schedule } from './schedule.ts'

export { every } from './schedule.ts'
export type { FunctionAlarms, Schedule, ScheduleOptions } from './schedule.ts'

/** Who may call a route. `public`: anyone; `user`: a signed-in person; `staff`: a person with a role that holds the route's permission; `service`: another function. */
export type RouteAuth = 'public' | 'user' | 'staff' | 'service'

/** Who is calling, from a verified token. The tenant comes from the token, never from the body. */
export type Principal = {
  /** `staff`: the token names a role, or a role was given since. What they may do is another question: `AccessChecker`. */
  kind: 'user' | 'staff' | 'service'
  tenantId: string
  /** Subject of the token. For a service: the function's name. */
  userId: string
  roles: readonly string[]
  /** The session that the token belongs to (`sid`), where it has one. */
  sessionId?: string | undefined
  /** When the token was issued (`iat`), in ms; 0 when it does not say. */
  issuedAtMs: number
}

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** What a route handler gets. `body`, `query` and `params` have passed their schemas. */
export type RouteRequest<Body, Query, Params, Caller> = {
  body: Body
  query: Query
  params: Params
  /** Undefined only on `public` routes without a token. */
  principal: Caller
  headers: IncomingMessage['headers']
  /** Aborted when the client goes away, the route's time is up, or the function ends. */
  signal: AbortSignal
  /** The client's address as the socket sees it. */
  remoteAddress: string
}

/**
 * What a route handler may return instead of a plain value (which is sent as JSON with the route's status): another status or
 * headers, text or bytes, or a stream that writes the response itself (server-sent events).
 */
export class Reply {
  readonly status: number
  readonly body: unknown
  readonly headers: Record<string, string>
  constructor(status: number, body: unknown, headers: Record<string, string> = {}) {
    this.status = status
    this.body = body
    this.headers = headers
  }
}
export class StreamReply {
  readonly write: (response: ServerResponse, signal: AbortSignal) => Promise<void>
  constructor(write: (response: ServerResponse, signal: AbortSignal) => Promise<void>) {
    this.write = write
  }
}

type Output<S> = S extends z.ZodType ? z.output<S> : undefined
type CallerOf<A extends RouteAuth> = A extends 'public' ? Principal | undefined : Principal

/** Every `staff` route says what a caller must hold through a role; no other route can. */
export type RoutePolicy =
  { auth: 'staff'; permission: Permission } | { auth: Exclude<RouteAuth, 'staff'>; permission?: undefined }

export type RouteOptions = RoutePolicy & {
  summary: string
  body?: z.ZodType
  query?: z.ZodType
  params?: z.ZodType
  /** Schema of the successful answer, for the documents. */
  reply?: z.ZodType
  /** Media types of a successful answer that is not JSON: pages, tables, event streams. */
  mediaTypes?: readonly string[]
  /** Status of the successful answer; default 200. */
  status?: number
  /** Problem codes that this route answers beside the common ones, for the documents. */
  problems?: readonly ProblemCode[]
  /** Default 64 KiB. */
  bodyLimitBytes?: number
  /** Time for the handler; default 10,000. Streams have none. */
  timeoutMs?: number
}

export type Route<Dependencies> = {
  kind: 'route'
  method: HttpMethod
  /** With `:name` parameters. */
  path: string
  options: RouteOptions
  handle: (request: RouteRequest<never, never, never, never>, dependencies: Dependencies) => unknown
}

/** Answers the raw request itself; `params` are the values of the path's parameters in order. */
export type HotHandler = (request: IncomingMessage, response: ServerResponse, params: readonly string[]) => void

/**
 * A hot route is answered in front of the runtime's router: the handler gets the raw request and response and does everything
 * itself, authentication too. It is declared like any other route, so that it is in the documents and in the permission matrix.
 */
export type HotRoute<Dependencies> = {
  kind: 'hot-route'
  method: HttpMethod
  path: string
  options: RouteOptions
  handler: (dependencies: Dependencies) => HotHandler
}

/** Like `HotHandler`; a rejection is logged and answered 500. `params` are the values of the prefix's parameters in order. */
export type RawHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  params: readonly string[],
) => void | Promise<void>

/**
 * Everything below a prefix, with any method, is answered by somebody else's handler: a library that brings its own routes. It
 * gets the raw request and does everything itself, authentication too. Counted as in flight against the host's limit, drained like
 * any request.
 */
export type Mount<Dependencies> = {
  kind: 'mount'
  /** With a slash at the end everything below it (`/oidc/`), without one this path alone. May have `:name` parameters. */
  prefix: string
  options: MountOptions
  handler: (dependencies: Dependencies) => RawHandler
}
export type MountOptions = { auth: 'public'; summary: string }

/** A CloudEvent as handlers get it; `data` has passed the definition's schema. */
export type ReceivedEvent<Data> = {
  id: string
  source: string
  type: string
  subject: string | undefined
  time: string | undefined
  data: Data
  /** W3C trace context of the producer, if any. */
  traceparent: string | undefined
}

export type SubscriptionOptions = {
  /** Ordered delivery for each `partitionkey`. */
  ordered?: boolean
  /** Delivered from this Kafka topic by a KafkaSource; otherwise by a Trigger on the default Broker. */
  kafkaTopic?: string
}

export type Subscription<Dependencies> = {
  event: EventDefinition<z.ZodType>
  options: SubscriptionOptions
  /** A thrown `Problem` 400/422 sends the event to the dead letter; anything else is delivered again. */
  handle: (event: ReceivedEvent<never>, dependencies: Dependencies) => Promise<void>
}

/** What the host lends to a function. */
export type HostServices = {
  /** The function's name. */
  name: string
  log: Logger
  metrics: Registry
  /** What callers may do now. Ordinary routes have asked it already; hot routes and mounts do it themselves. */
  access: AccessChecker
  /** How failures are tried again, now: a document says it, and may change. */
  retries: () => Retries
  alarms: FunctionAlarms
  /** Aborted when draining begins: background loops end. */
  draining: AbortSignal
}

export type FunctionDefinition<Config = unknown, Dependencies = unknown> = {
  name: string
  summary: string
  /** Environment variables of the function with defaults; all problems are reported at once at start. */
  config: z.ZodType<Config>
  /** Makes what the handlers need. Connections are lazy: no I/O that holds up the start. Background loops begin here. */
  connect: (config: Config, host: HostServices) => Dependencies | Promise<Dependencies>
  routes: readonly (Route<Dependencies> | HotRoute<Dependencies>)[]
  mounts?: readonly Mount<Dependencies>[]
  /** The document of a function that speaks for others; default: what its own declarations say. */
  openApi?: () => object
  /**
   * Takes every request that nothing else of the process matches, with any method and path: the gateway. Like a mount in
   * everything else, but not counted against the host's limit of requests in flight; one in a process. Upgrades never come here.
   */
  fallback?: (dependencies: Dependencies) => RawHandler
  /**
   * With a `fallback`: may this request see the host's own pages (health, metrics, documents)? When not, they do not exist for it: the
   * fallback gets it. Default: everybody may.
   */
  ownPages?: (dependencies: Dependencies) => (request: IncomingMessage) => boolean
  events?: readonly Subscription<Dependencies>[]
  schedules?: readonly Schedule<Dependencies>[]
  /** Rejects when the function cannot work at the moment; asked by readiness, with a timeout. */
  ready?: (dependencies: Dependencies) => Promise<void>
  /** Called once while draining, after the last request in flight was answered: flush and close. */
  stop?: (dependencies: Dependencies) => Promise<void>
}

/** A definition whose types the host does not need to know. */
// eslint-disable-next-line typescript/no-explicit-any -- the host only passes what `connect` returned to the handlers of the same definition
export type AnyFunction = FunctionDefinition<any, any>

export function defineFunction<Config, Dependencies>(
  definition: FunctionDefinition<Config, Dependencies>,
): FunctionDefinition<Config, Dependencies> {
  return definition
}

export function route<const O extends RouteOptions, Dependencies>(
  method: HttpMethod,
  path: string,
  options: O,
  handle: (
    request: RouteRequest<
      Output<O['body']>,
      Output<O['query']>,
      O['params'] extends z.ZodType ? z.output<O['params']> : Record<string, string>,
      CallerOf<O['auth']>
    >,
    dependencies: Dependencies,
  ) => unknown,
): Route<Dependencies> {
  return { kind: 'route', method, path, options, handle }
}

export function hotRoute<Dependencies>(
  method: HttpMethod,
  path: string,
  options: RouteOptions,
  handler: (dependencies: Dependencies) => HotHandler,
): HotRoute<Dependencies> {
  return { kind: 'hot-route', method, path, options, handler }
}

export function mount<Dependencies>(
  prefix: string,
  options: MountOptions,
  handler: (dependencies: Dependencies) => RawHandler,
): Mount<Dependencies> {
  return { kind: 'mount', prefix, options, handler }
}

export function on<S extends z.ZodType, Dependencies>(
  event: EventDefinition<S>,
  handle: (event: ReceivedEvent<z.output<S>>, dependencies: Dependencies) => Promise<void>,
  options: SubscriptionOptions = {},
): Subscription<Dependencies> {
  return {
    event,
    options,
    handle,
  }
}
