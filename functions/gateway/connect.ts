/** Puts the parts of the gateway together: configuration, upstreams, tokens, limits. */
import type { IncomingMessage } from 'node:http'
import type { JSONWebKeySet } from 'jose'
import { documentFile } from '@stampede/shared/configuration/document-file.ts'
import { openConfiguration } from '@stampede/shared/configuration/open-configuration.ts'
import type { AccessChecker } from '@stampede/shared/access/types.ts'
import type { HostServices, RawHandler } from '@stampede/shared/function/declaration.ts'
import { createTokenVerifier } from '@stampede/shared/identity/access-token.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { occasionally } from '@stampede/shared/telemetry/occasionally.ts'
import { createAccessLog } from './access-log.ts'
import { createAdmission } from './admission.ts'
import { checkedDocument } from './checked-document.ts'
import { addressesOf, type GatewayConfig } from './config.ts'
import { declaredRoutes, type Declared } from './declared.ts'
import { gatewayDocument, type GatewayDocument } from './document.ts'
import type { Exchange } from './exchange.ts'
import { createGateway } from './gateway.ts'
import { createLimiter } from './limits/limiter.ts'
import { createMeasures } from './measures.ts'
import { createRequestIds } from './request-id.ts'
import { compileRules, planUpstreams, type Rules } from './rules.ts'
import { createUpstreams } from './upstreams.ts'

export type Gateway = {
  handle: RawHandler
  ownPages: (request: IncomingMessage) => boolean
  stop(): Promise<void>
}

/** What the host lends once it has it. */
type Services = HostServices & { access?: AccessChecker }

export function connectGateway(config: GatewayConfig, host: Services, declared: Declared = declaredRoutes): Gateway {
  const { log, metrics } = host
  const addresses = addressesOf(config)
  const configuration = openConfiguration<GatewayDocument>({
    name: 'gateway',
    schema: checkedDocument(declared, addresses),
    initial: gatewayDocument.parse({}),
    file: documentFile(config.CONFIGURATION_FOLDER, 'gateway'),
    log,
    metrics,
  })

  const limiter = createLimiter({
    redis: connectRedis(config.LIMITS_REDIS_URL ?? config.REDIS_URL, {
      commandTimeoutMs: config.LIMITS_TIMEOUT_MS,
      connectTimeoutMs: 1_000,
      queueWhileDisconnected: false,
      connectionName: 'gateway-limits',
    }),
    batch: config.LIMITS_BATCH,
    callsInFlight: config.LIMITS_CALLS_IN_FLIGHT,
    queue: config.LIMITS_QUEUE,
    memory: config.LIMITS_MEMORY,
    called: (requests) => measures.limiterCall(requests),
    failed: (error) => {
      measures.limiterFailed()
      reportLimiter(error)
    },
  })
  const measures = createMeasures(metrics, {
    upstreams: () => upstreams.current().values(),
    limiterPending: () => limiter.pending(),
    limiterOut: () => limiter.isOut(),
  })
  const reportLimiter = occasionally((error: unknown) =>
    log.warn({ error }, 'rate limits could not be decided; their policies apply'),
  )
  const upstreams = createUpstreams((name, state) => {
    measures.breakerChanged(name, state)
    log.warn({ upstream: name, state }, 'a circuit breaker changed')
  })
  const compile = (document: GatewayDocument): Rules =>
    compileRules(document, declared, upstreams.apply(planUpstreams(document, declared.functions, addresses)))
  let rules = compile(configuration.current())
  configuration.onChange((document) => {
    const before = rules
    rules = compile(document)
    before.unused = () => upstreams.release(before.upstreams)
    if (before.users === 0) before.unused()
  })

  const admission = createAdmission({
    tokens: createTokenVerifier({
      jwks: config.AUTH_JWKS === undefined ? undefined : (JSON.parse(config.AUTH_JWKS) as JSONWebKeySet),
      jwksUrl: config.AUTH_JWKS_URL,
      issuer: config.AUTH_ISSUER,
      audience: config.AUTH_AUDIENCE,
      // Without the secret of the functions: nobody outside is one of them.
      cacheSize: config.TOKEN_CACHE,
    }),
    access: host.access,
    inFlight: config.TOKENS_IN_FLIGHT,
  })
  const reportUpstream = occasionally((failure: { upstream: string; url: string; error: unknown }) =>
    log.warn(failure, 'an upstream failed'),
  )
  const handle = createGateway({
    rules: () => rules,
    admission,
    limiter,
    measures,
    accessLog: createAccessLog(log, Math.random),
    forwarding: {
      measures,
      now: () => performance.now(),
      random: Math.random,
      failed: (upstream, address, error) => reportUpstream({ upstream, url: address, error }),
      streams: new Set<Exchange>(),
    },
    requestIds: createRequestIds(),
    tracing: config.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined,
    log,
    draining: host.draining,
  })
  return {
    handle,
    ownPages: (request) => mayOperate(rules, request),
    async stop() {
      configuration.close()
      await upstreams.close()
      limiter.stop()
    },
  }
}

const forwardedNames = ['x-forwarded-for', 'forwarded', 'x-real-ip', 'via']

/** Operators come directly: what a proxy brings comes from outside, whatever address the proxy has. */
function mayOperate({ addresses }: Rules, { socket, headers }: IncomingMessage): boolean {
  if (forwardedNames.some((name) => headers[name] !== undefined)) return false
  return addresses.know(socket.remoteAddress ?? '')?.operator ?? false
}
