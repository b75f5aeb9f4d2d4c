/** What the handlers of auth need: connections, keys, and each operation with its context. */
import type { z } from 'zod'
import type { sessionRevoked, userDeactivated } from '@stampede/eventing/catalogue/identity-events.ts'
import { gridAfter } from '@stampede/shared/alarms/grid.ts'
import { createAccessDirectory } from '@stampede/shared/access/directory.ts'
import { sessionCorrectionTtlMs } from '@stampede/shared/access/facts.ts'
import type { HostServices, ReceivedEvent } from '@stampede/shared/function/declaration.ts'
import { connectEventDatabase } from '@stampede/shared/function/event-database.ts'
import { createServiceClient } from '@stampede/shared/http/client.ts'
import { createBlindIndex } from '@stampede/shared/personal-data/blind-index.ts'
import { createKeyRing } from '@stampede/shared/personal-data/key-ring.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { changeAccountState } from './account-state.ts'
import { callerAddress, localeOf } from './address.ts'
import { createAccessTokens } from './access-tokens.ts'
import type { AuthConfig } from './config.ts'
import type { AuthContext, Limits } from './context.ts'
import { correctDirectory } from './end-sessions.ts'
import { createGate } from './gate.ts'
import { migrations } from './generated/migrations.ts'
import { sweepGuards } from './guard-store.ts'
import { createLogoutNotices } from './openid/logout-notices.ts'
import { createOpenId } from './openid/openid.ts'
import { createPostForm } from './openid/post-form.ts'
import { sweepRecords } from './openid/records.ts'
import { createPasswords } from './password.ts'
import { createRoles } from './roles.ts'
import { rotateKeys } from './rotate-keys.ts'
import { revokedSince, sweepSessions } from './session-store.ts'
import { createSigningKeys } from './signing-keys.ts'

const hourMs = 3_600_000
const dayMs = 86_400_000
/** ID tokens live so long; a key is shown until they are dead. */
export const idTokenSeconds = 3_600
const sweptAfterMs = 7 * dayMs
const correctionPage = 500
const maximumCorrections = 100_000

export type Auth = ReturnType<typeof createAuth>
type UserEvent = ReceivedEvent<z.output<typeof userDeactivated.data>>

export function createAuth(config: AuthConfig, host: HostServices, now: () => number = Date.now) {
  const events = connectEventDatabase(config, host, migrations, now)
  const redis = connectRedis(config.REDIS_URL, { connectionName: 'auth' })
  const ring = createKeyRing(config.DATA_KEYS)
  const index = createBlindIndex(config.INDEX_KEY)
  const keys = createSigningKeys({
    database: events,
    ring,
    algorithm: config.SIGNING_ALGORITHM,
    timings: {
      cacheMs: config.JWKS_CACHE_SECONDS * 1_000,
      tokenMs: Math.max(config.ACCESS_TOKEN_SECONDS, idTokenSeconds) * 1_000,
      marginMs: config.KEY_MARGIN_SECONDS * 1_000,
      rotateAfterMs: config.SIGNING_KEY_DAYS * dayMs,
    },
    now,
    signerCacheMs: 5_000,
    publicCacheMs: 1_000,
  })
  const context: AuthContext = {
    name: host.name,
    now,
    log: host.log,
    events,
    ring,
    index,
    keys,
    passwords: createPasswords({
      memoryKib: config.PASSWORD_MEMORY_KIB,
      passes: config.PASSWORD_PASSES,
      parallelism: config.PASSWORD_PARALLELISM,
      concurrency: config.PASSWORD_CONCURRENCY,
      queueLimit: config.PASSWORD_QUEUE,
    }),
    tokens: createAccessTokens({
      keys,
      issuer: config.AUTH_ISSUER,
      audience: config.AUTH_AUDIENCE,
      lifetimeSeconds: config.ACCESS_TOKEN_SECONDS,
      now,
    }),
    directory: createAccessDirectory(redis),
    gate: createGate(host.access, now),
    rolesOf: createRoles(
      createServiceClient({
        baseUrl: config.PERMISSION_URL,
        service: host.name,
        secret: config.SERVICE_SECRET,
        timeoutMs: 3_000,
      }),
    ),
    limits: limitsOf(config),
    wakeNotices: () => notices.wake(),
    noticeDue: () => host.alarms.beforeCommit('tell-logouts', now()),
  }

  const openId = createOpenId({
    auth: context,
    tokenIssuer: config.AUTH_ISSUER,
    audience: config.AUTH_AUDIENCE,
    idTokenSeconds,
    callerOf: ({ headers, socket }) => ({
      address: callerAddress(socket.remoteAddress ?? '', headers, config.TRUSTED_PROXIES),
      userAgent: headers['user-agent'] ?? '',
      locale: localeOf(headers),
    }),
  })
  const stopping = new AbortController()
  const notices = createLogoutNotices({
    auth: context,
    issuerOf: openId.issuerOf,
    post: createPostForm({ privateAddresses: config.LOGOUT_TO_PRIVATE_ADDRESSES }),
    stopping: stopping.signal,
  })

  return {
    ...context,
    config,
    openId: openId.handler,
    issuerOf: openId.issuerOf,
    async sendNotices(): Promise<number | undefined> {
      await notices.send()
      return notices.nextMs()
    },

    /** What the route did already, unless its process ended in between. */
    async onSessionRevoked({ data }: ReceivedEvent<z.output<typeof sessionRevoked.data>>) {
      await correctDirectory(context, data.tenantId, data.userId, data.sessionIds, Date.parse(data.at))
    },
    onUserDeactivated: (event: UserEvent) => changeAccountState(context, event, 'deactivated'),
    onUserReactivated: (event: UserEvent) => changeAccountState(context, event, 'active'),
    onUserErased: (event: UserEvent) => changeAccountState(context, event, 'erased'),

    /** Whatever the access directory forgot: revoked sessions whose tokens or passes may be alive. */
    async correctAgain() {
      await events.schema()
      const since = new Date(now() - sessionCorrectionTtlMs)
      let after = { revokedAt: since, sessionId: '' }
      for (let told = 0; told < maximumCorrections && !host.draining.aborted; told += correctionPage) {
        const page = await revokedSince(events.database.forPlatform(), since, after, correctionPage)
        await Promise.all(
          page.map(({ tenantId, userId, sessionId, revokedAt }) =>
            correctDirectory(context, tenantId, userId, [sessionId], revokedAt.getTime()),
          ),
        )
        const last = page.at(-1)
        if (!last || page.length < correctionPage) return
        after = last
      }
    },
    /** Contacts and what the providers remember get the newest keys. Resolves with when to go on: while there are such rows, there may be more. */
    async rotateKeys(): Promise<number | undefined> {
      const moved = await rotateKeys(context, host.draining)
      if (moved === 0) return undefined
      host.log.info({ moved }, 'rows have the newest keys now')
      return gridAfter(now(), 60_000)
    },
    maintainKeys: () => keys.maintain(),
    async sweep() {
      await events.schema()
      const platform = events.database.forPlatform()
      await sweepGuards(platform, new Date(now()))
      await sweepRecords(platform, new Date(now()))
      // Somebody may still want to know of a session that ended.
      await sweepSessions(platform, new Date(now() - sweptAfterMs))
      await events.pruneInbox()
    },
    ready: events.ready,
    async stop() {
      stopping.abort()
      await notices.stop()
      await events.stop()
      redis.disconnect()
    },
  }
}

function limitsOf(config: AuthConfig): Limits {
  const waits = {
    firstDelayMs: config.FIRST_WAIT_SECONDS * 1_000,
    longestDelayMs: config.LONGEST_WAIT_SECONDS * 1_000,
    windowMs: dayMs,
  }
  return {
    contactFailures: { freeFailures: config.FREE_FAILURES_PER_CONTACT, ...waits },
    addressFailures: { freeFailures: config.FREE_FAILURES_PER_ADDRESS, ...waits },
    codesPerContact: { limit: config.CODES_PER_CONTACT_AND_HOUR, windowMs: hourMs },
    codesPerAddress: { limit: config.CODES_PER_ADDRESS_AND_HOUR, windowMs: hourMs },
    codeTtlMs: config.CODE_SECONDS * 1_000,
    triesPerCode: config.CODE_TRIES,
    refreshTtlMs: config.REFRESH_TOKEN_SECONDS * 1_000,
    sessionTtlMs: config.SESSION_SECONDS * 1_000,
    sessionsPerUser: config.SESSIONS_PER_USER,
  }
}
