/**
 * What a function author writes. One declaration yields the routing, the OpenAPI document, the Triggers,
 * the PingSources and the permission matrix.
 *
 *   export const coupon = defineFunction({
 *     name: 'coupon',
 *     routes: [route('POST', '/api/v1/coupons/:couponId/claims', { auth: 'user', summary: '…', body: ClaimInput, reply: Claim }, claim)],
 *     events: [on(orderCancelled, returnCoupons)],
 *     schedules: [every('expire-coupons', '* * * * *', expireCoupons)],
 *     async start(context) { … return { routes' dependencies … } },
 *   })
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { z } from 'zod'
import type { EventDefinition } from '@stampede/eventing/catalogue/definition.ts'

/** Who may call a route. `public`: anyone; `user`: a signed-in person; `staff`: a person with the role `staff`; `service`: another function. */
export type RouteAuth = 'public' | 'user' | 'staff' | 'service'

/** Who is calling, from a verified token. */
export type Principal = {
  kind: 'user' | 'staff' | 'service'
  tenantId: string
  /** Subject of the token. For a service: the function's name. */
  userId: string
  roles: readonly string[]
}

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** What a route handler gets. `principal` is undefined only on `public` routes without a token. */
export type RouteRequest<Body = unknown, Query = unknown, Params = Record<string, string>> = {
  body: Body
  query: Query
  params: Params
  principal: Principal
  headers: IncomingMessage['headers']
  /** Aborted when the client goes away or the function drains. */
  signal: AbortSignal
  /** The client's address as the socket sees it. */
  remoteAddress: string
}

/** What a route handler returns: a value (200, JSON), or a `reply(status, body, headers)`, or a `stream(...)`. */
export type RouteReply = { status: number; body?: unknown; headers?: Record<string, string> }

export type RouteOptions<B extends z.ZodType, Q extends z.ZodType, P extends z.ZodType> = {
  auth: RouteAuth
  summary: string
  body?: B
  query?: Q
  params?: P
  /** Schema of the successful answer; documentation, and checked in tests. */
  reply?: z.ZodType
  /** Status of the successful answer; default 200. */
  status?: number
  /** Problem codes that this route answers beside the common ones; documentation. */
  problems?: readonly import('../http/problem.ts').ProblemCode[]
  bodyLimitBytes?: number
  timeoutMs?: number
}

export type Route = {
  method: HttpMethod
  /** With `:name` parameters. */
  path: string
  options: RouteOptions<z.ZodType, z.ZodType, z.ZodType>
  handle: (request: RouteRequest<never, never, never>) => unknown
}

/**
 * A hot route is answered in front of the runtime's router, without promises where it can be: the handler gets the raw
 * request and response and does everything itself. It is declared like any other route, so that it appears in the
 * documents and in the permission matrix.
 */
export type HotRoute = {
  method: HttpMethod
  path: string
  options: RouteOptions<z.ZodType, z.ZodType, z.ZodType>
  /** `params` are the values of the path's parameters in order. */
  hot: (request: IncomingMessage, response: ServerResponse, params: readonly string[]) => void
}

/** A CloudEvent as handlers get it; `data` is validated against the definition's schema. */
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

export type Subscription = {
  event: EventDefinition<z.ZodType>
  handle: (event: ReceivedEvent<never>) => Promise<void>
  /** Ordered delivery per `partitionkey`. */
  ordered?: boolean
  /** Delivered from this Kafka topic by a KafkaSource; otherwise by a Trigger on the default Broker. */
  kafkaTopic?: string
}

/** Work that a PingSource starts. `cron`: five fields, UTC. */
export type Schedule = { task: string; cron: string; run: () => Promise<void> }

/** The parts of a started function that the host runs. */
export type RunningFunction = {
  routes: (Route | HotRoute)[]
  events?: Subscription[]
  schedules?: Schedule[]
  /** Rejects or returns a reason when the function cannot work at the moment; the host's readiness asks it, with a timeout. */
  ready?: () => Promise<void>
  /** Called once while draining, after the last request in flight was answered. */
  stop?: () => Promise<void>
}

export type FunctionDefinition<Config> = {
  name: string
  summary: string
  /** Environment variables of the function with defaults; all problems are reported at once at start. */
  config: z.ZodType<Config>
  /**
   * Wires routes, subscriptions and schedules to the domain. Must not do I/O that blocks the start: connections are lazy.
   * For documents and manifests the same wiring runs without `start` being awaited on any service: `describe()`.
   */
  start: (config: Config, host: HostServices) => RunningFunction | Promise<RunningFunction>
}

/** What the host lends to a function. */
export type HostServices = {
  log: import('pino').Logger
  metrics: import('prom-client').Registry
  /** Aborted when draining begins: background loops end. */
  draining: AbortSignal
}
