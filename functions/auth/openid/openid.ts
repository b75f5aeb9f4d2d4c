/** OpenID Connect below `/oidc/<tenant>`: a provider for each tenant, made when it is first asked for and again when the keys change. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { LRUCache } from 'lru-cache'
import type { Provider } from 'oidc-provider'
import type { RawHandler } from '@stampede/shared/function/declaration.ts'
import { internalProblem, sendProblem } from '@stampede/shared/http/answer.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { AuthContext } from '../context.ts'
import { correctDirectory, endSessions } from '../end-sessions.ts'
import { findSession, type RevocationReason } from '../session-store.ts'
import { answerInteraction, showProblem, type Caller } from './interactions.ts'
import { createProvider } from './provider.ts'
import { deleteGrants } from './records.ts'

export type OpenIdOptions = {
  auth: AuthContext
  /** `AUTH_ISSUER`, without a slash at the end. */
  tokenIssuer: string
  audience: string
  idTokenSeconds: number
  callerOf: (request: IncomingMessage) => Caller
}

/** Providers kept; one that is not is made again in milliseconds. */
const maximumProviders = 100
const tenantPattern = /^[A-Za-z0-9_-]{1,64}$/

type Kept = {
  version: string
  provider: Promise<Provider>
  handle: Promise<(request: IncomingMessage, response: ServerResponse) => unknown>
}

export function createOpenId(options: OpenIdOptions) {
  const { auth, tokenIssuer } = options
  const kept = new LRUCache<string, Kept>({ max: maximumProviders })
  /** Why sessions end that the library ends. */
  const reasons = new AsyncLocalStorage<RevocationReason>()
  const issuerOf = (tenantId: string) => `${tokenIssuer}/oidc/${tenantId}`

  const endGrant = async (tenantId: string, grantId: string) => {
    const userId = await auth.events.change(tenantId, auth.name, async (context) => {
      const session = await findSession(context.tenant, grantId)
      if (!session) {
        await deleteGrants(context.tenant, [grantId])
        return undefined
      }
      const reason = reasons.getStore() ?? 'revoked'
      await endSessions(auth, context, { userId: session.userId, sessionIds: [grantId], reason })
      return session.userId
    })
    if (userId === undefined) return
    // The event of the transaction does it, too.
    await correctDirectory(auth, tenantId, userId, [grantId], auth.now()).catch((error: unknown) =>
      auth.log.warn({ err: error, tenantId }, 'an ended session could not be told to the access directory yet'),
    )
  }

  const providerOf = async (tenantId: string): Promise<Kept> => {
    const keys = await auth.keys.privateKeys()
    const known = kept.get(tenantId)
    if (known?.version === keys.version) return known
    const provider = createProvider({ ...options, tenantId, issuer: issuerOf(tenantId), keys, endGrant })
    const made: Kept = { version: keys.version, provider, handle: provider.then((one) => one.callback()) }
    kept.set(tenantId, made)
    made.handle.catch(() => {
      if (kept.get(tenantId) === made) kept.delete(tenantId)
    })
    return made
  }

  const answer = async (request: IncomingMessage, response: ServerResponse, tenantId: string, path: string) => {
    await auth.events.schema()
    await auth.gate.mayIssue(tenantId)
    const issuer = new URL(issuerOf(tenantId))
    // The library makes URLs from the request: they are the issuer's, whatever a client or proxy says.
    const { 'x-forwarded-host': _, ...headers } = request.headers
    request.headers = { ...headers, host: issuer.host, 'x-forwarded-proto': issuer.protocol.slice(0, -1) }
    request.url = path
    Object.assign(request, { originalUrl: `${issuer.pathname}${path}` })
    const made = await providerOf(tenantId)
    const [provider, handle] = await Promise.all([made.provider, made.handle])
    if (path.startsWith('/interaction/')) {
      const caller = options.callerOf(request)
      await answerInteraction({ auth, provider, tenantId, issuer: issuer.href }, request, response, caller)
      return
    }
    const reason: RevocationReason = path.startsWith('/session/end')
      ? 'signed-out'
      : /^\/token(\?|$)/.test(path)
        ? 'refresh-token-reused'
        : 'revoked'
    await reasons.run(reason, async () => {
      await handle(request, response)
    })
  }

  const handler: RawHandler = async (request, response, [tenantId = '']) => {
    const url = request.url ?? '/'
    const prefix = `/oidc/${tenantId}`
    try {
      if (!tenantPattern.test(tenantId) || !url.startsWith(`${prefix}/`))
        throw new Problem('not-found', 'There is nothing at this address.')
      await answer(request, response, tenantId, url.slice(prefix.length))
    } catch (error) {
      const problem = error instanceof Problem ? error : internalProblem(error)
      if (problem.status >= 500) auth.log.error({ err: problem.cause ?? error, tenantId }, problem.detail)
      if (/text\/html/.test(request.headers.accept ?? '')) showProblem(response, problem)
      else sendProblem(response, problem)
    }
  }
  return { handler, issuerOf }
}
