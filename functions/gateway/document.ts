/**
 * The configuration document `gateway`: everything that may change while the gateway runs. The README describes it, its JSON schema is
 * `generated/configuration.schema.json`.
 */
import { z } from 'zod'
import { addressRange } from '@stampede/shared/http/client-address.ts'

const milliseconds = (minimum: number, maximum: number) => z.int().min(minimum).max(maximum)
const name = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'is not a name of lower-case letters, digits and hyphens')
const headerName = z.string().regex(/^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$/, 'is not a header name in lower case')
const headerValue = z
  .string()
  .regex(/^[\u0021-\u007e]([\u0020-\u007e]{0,254}[\u0021-\u007e])?$/, 'is not a header value')

const networks = z.array(addressRange).max(10_000)

/** http alone, and no path: what is below belongs to the routes. */
const origin = z.string().refine((text) => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url !== undefined && /^https?:$/.test(url.protocol) && /^https?:\/\/[^/?#@]+\/?$/.test(text)
}, 'is not an address such as http://host:port')

const breaker = z
  .strictObject({
    enabled: z.boolean().default(true),
    /** Time that is looked at. */
    windowMs: milliseconds(1_000, 600_000).default(10_000),
    /** Fewer requests than this in the window decide nothing. */
    minimumRequests: z.int().min(1).max(1_000_000).default(20),
    /** Failed share from which it opens. */
    failureShare: z.number().min(0.01).max(1).default(0.5),
    /** How long nothing is sent before probes are. */
    openMs: milliseconds(100, 600_000).default(5_000),
    /** Requests that are let through at once to try; when all of them succeed it closes. */
    probes: z.int().min(1).max(1_000).default(3),
    /** Answers that count as failures. 503 is not among them: functions say with it that a sale is paused or recovering. */
    statuses: z.array(z.int().min(400).max(599)).max(50).default([500, 502, 504]),
  })
  .prefault({})

const retries = z
  .strictObject({
    /** How often more than once; only GET, HEAD, PUT and DELETE whose body is at hand. */
    attempts: z.int().min(0).max(5).default(1),
    /** Share of the requests of this upstream that may be retries. */
    budgetShare: z.number().min(0).max(1).default(0.1),
    /** Retries that are possible after a quiet time. */
    budgetBurst: z.int().min(0).max(10_000).default(10),
    /** Waits up to this long before, at random. */
    backoffMs: milliseconds(0, 10_000).default(50),
    statuses: z.array(z.int().min(500).max(599)).max(50).default([502, 504]),
  })
  .prefault({})

const timeouts = z
  .strictObject({
    connectMs: milliseconds(50, 60_000).default(2_000),
    /** What is added to a route's own time before its headers must be here. */
    headersGraceMs: milliseconds(0, 60_000).default(2_000),
    /** Silence within an answer. */
    bodyIdleMs: milliseconds(100, 600_000).default(30_000),
    /** Silence within an event stream. */
    streamIdleMs: milliseconds(100, 3_600_000).default(120_000),
    /** How long a client may not read before it is given up. */
    clientIdleMs: milliseconds(100, 600_000).default(30_000),
  })
  .prefault({})

const upstream = z.strictObject({
  /** Default: the one address in the variable `<NAME>_URL`. */
  addresses: z
    .array(z.strictObject({ url: origin, weight: z.int().min(1).max(1_000).default(1) }))
    .min(1)
    .max(100)
    .optional(),
  /** Connections to each address for ordinary requests. */
  connections: z.int().min(1).max(10_000).default(512),
  /** Requests beyond the connections that may wait; more are refused with 503 or overflow. */
  queue: z.int().min(0).max(100_000).default(1_024),
  /** Event streams and long polls; they have connections of their own. */
  streams: z.int().min(1).max(100_000).default(10_000),
  /** An address that could not be reached is left out for this long while there are others. */
  ejectMs: milliseconds(0, 600_000).default(2_000),
  timeouts,
  breaker,
  retries,
})

const spread = z.strictObject({
  /** Default: the upstream with the function's name. */
  upstream: name.optional(),
  /** Where requests go when the first upstream is saturated, or its breaker is open. */
  overflow: z
    .strictObject({
      upstream: name,
      /** Requests in flight in this gateway. */
      inFlight: z.int().min(1).max(1_000_000).optional(),
      /** Moving average of the time until an answer begins. Every tenth request still goes to the first: its recovery must be seen. */
      latencyMs: z.number().min(1).max(600_000).optional(),
    })
    .refine(
      ({ inFlight, latencyMs }) => inFlight !== undefined || latencyMs !== undefined,
      'needs inFlight or latencyMs',
    )
    .optional(),
  /** Who is sent to a new version. Any of the three is enough. */
  canary: z
    .strictObject({
      upstream: name,
      /** Percent of the callers; a signed-in user, or an address, always goes to the same side. */
      weight: z.number().min(0).max(100).default(0),
      header: z.strictObject({ name: headerName, value: headerValue }).optional(),
      tenants: z
        .array(z.string().regex(/^[A-Za-z0-9_-]{1,64}$/))
        .max(10_000)
        .default([]),
    })
    .optional(),
})

const routePattern = z
  .string()
  .regex(
    /^(\*|GET|POST|PUT|PATCH|DELETE) \/[A-Za-z0-9._~:/-]*\*?$/,
    'is not a method and a path, such as "POST /api/v1/orders/:orderId/pay"',
  )

const limitKinds = ['route', 'tenant', 'user', 'ip'] as const
export type LimitKind = (typeof limitKinds)[number]

const limit = z.strictObject({
  /** In metrics, in the keys in Redis and in the header `RateLimit`. */
  name,
  /** Whose requests share a bucket. An IPv6 address counts with its /64. */
  by: z.enum(limitKinds),
  /** As declared, or with a `*` at the end; none and no functions: every route. */
  routes: z.array(routePattern).max(1_000).default([]),
  functions: z.array(name).max(100).default([]),
  /** Tokens a second. */
  rate: z.number().min(0.001).max(10_000_000),
  /** Tokens of a full bucket. */
  burst: z.int().min(1).max(100_000_000),
  /** While Redis does not answer: `local`: each gateway counts for itself; `open`: everybody passes; `closed`: nobody does (503). */
  onOutage: z.enum(['local', 'open', 'closed']).default('local'),
})

/** The presses of a flash sale. */
const flashSaleRoutes = ['POST /api/v1/seckill/:activityId/purchases', 'POST /api/flash-sale/order/create']
const defaultLimits: z.input<typeof limit>[] = [
  { name: 'flash-sale', by: 'route', routes: flashSaleRoutes, rate: 1_000, burst: 2_000 },
]

const date = z.iso.datetime({ offset: true })

export const gatewayDocument = z
  .strictObject({
    upstreams: z.record(name, upstream).default({}),
    /** How the requests of a function are spread over upstreams. */
    functions: z.record(name, spread).default({}),
    limits: z
      .array(limit)
      .max(1_000)
      .default(() => defaultLimits.map((one) => limit.parse(one))),
    /** Tokens that are not valid, from one address: beyond it they are refused unseen. Counted in each gateway. */
    invalidTokens: z
      .strictObject({
        rate: z.number().min(0.001).max(1_000_000).default(20),
        burst: z.int().min(1).max(1_000_000).default(100),
      })
      .prefault({}),
    addresses: z
      .strictObject({
        /** Empty: everybody who is not denied. */
        allow: networks.default([]),
        deny: networks.default([]),
        /** Whose `x-forwarded-*` and `x-request-id` are believed. */
        trustedProxies: networks.default([]),
        /** Who may see health, metrics and documents of the gateway itself, when no proxy stands between. */
        operators: networks.default([
          '127.0.0.0/8',
          '::1/128',
          '10.0.0.0/8',
          '172.16.0.0/12',
          '192.168.0.0/16',
          'fc00::/7',
        ]),
      })
      .prefault({}),
    cors: z
      .strictObject({
        /** Exactly as browsers send them; `*` lets every origin in, without credentials. */
        origins: z
          .array(z.union([z.literal('*'), origin]))
          .max(1_000)
          .default([]),
        methods: z
          .array(z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']))
          .default(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']),
        headers: z
          .array(headerName)
          .max(100)
          .default([
            'authorization',
            'content-type',
            'stampede-pass',
            'stampede-device',
            'idempotency-key',
            'traceparent',
          ]),
        exposed: z
          .array(headerName)
          .max(100)
          .default(['retry-after', 'location', 'ratelimit', 'ratelimit-policy', 'x-request-id']),
        credentials: z.boolean().default(false),
        maximumAgeSeconds: z.int().min(0).max(86_400).default(600),
      })
      .refine(
        ({ origins, credentials }) => !(credentials && origins.includes('*')),
        'credentials cannot go with the origin *',
      )
      .prefault({}),
    /** Versions of the API by the segment after `/api/`. Those that routes have are known without being named. */
    versions: z
      .record(
        z.string().regex(/^v[1-9][0-9]{0,3}$/),
        z.strictObject({
          /** RFC 9745 */
          deprecatedAt: date.optional(),
          /** RFC 8594 */
          sunsetAt: date.optional(),
          /** Where people read about it. */
          link: z.url().optional(),
        }),
      )
      .default({}),
    /** Other names of paths: what begins with `from` is treated as if it began with `to`. */
    aliases: z
      .array(
        z.strictObject({
          from: z.string().regex(/^(\/[A-Za-z0-9._~-]+)+$/),
          to: z.string().regex(/^(\/[A-Za-z0-9._~-]+)+$/),
        }),
      )
      .max(100)
      .default([{ from: '/seckill', to: '/api/v1/seckill' }]),
    /** Of one request. */
    headers: z
      .strictObject({
        count: z.int().min(8).max(1_000).default(100),
        bytes: z.int().min(512).max(65_536).default(16_384),
        urlBytes: z.int().min(64).max(65_536).default(8_192),
      })
      .prefault({}),
    body: z
      .strictObject({
        /** Bodies up to this size are taken in before an upstream is asked: a slow sender holds no connection to it. */
        gatherBytes: z.int().min(0).max(1_048_576).default(16_384),
        /** For such a body. */
        gatherMs: milliseconds(10, 600_000).default(10_000),
        /** Silence within a body that is passed on while it comes. */
        idleMs: milliseconds(10, 600_000).default(15_000),
      })
      .prefault({}),
    /** Changes of single routes. */
    routes: z
      .array(
        z.strictObject({
          route: routePattern,
          bodyLimitBytes: z.int().min(0).max(1_073_741_824).optional(),
          timeoutMs: milliseconds(10, 3_600_000).optional(),
          headerCount: z.int().min(8).max(1_000).optional(),
          headerBytes: z.int().min(512).max(65_536).optional(),
        }),
      )
      .max(1_000)
      .default([]),
    accessLog: z
      .strictObject({
        /** Of the requests that are neither slow nor failed. */
        share: z.number().min(0).max(1).default(0.01),
        slowMs: milliseconds(1, 600_000).default(1_000),
      })
      .prefault({}),
  })
  .superRefine((document, context) => {
    const limitNames = document.limits.map((one) => one.name)
    for (const [index, limitName] of limitNames.entries()) {
      if (limitNames.indexOf(limitName) !== index)
        context.addIssue({ code: 'custom', path: ['limits', index, 'name'], message: 'is there twice' })
    }
  })

export type GatewayDocument = z.output<typeof gatewayDocument>
export type UpstreamSettings = z.output<typeof upstream>

export const defaultUpstream = (): UpstreamSettings => upstream.parse({})
