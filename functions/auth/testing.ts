/** auth served for tests: real MySQL and Redis; permission is its HTTP contract, messages are read from the events. */
import { randomBytes } from 'node:crypto'
import mysql from 'mysql2/promise'
import { serve, type Serving } from '@stampede/shared/function/serve.ts'
import { notificationContext } from '@stampede/shared/personal-data/event-context.ts'
import { createKeyRing } from '@stampede/shared/personal-data/key-ring.ts'
import { call as callUrl, type Body } from '@stampede/shared/testing/call.ts'
import { deliver, ping, startEventSink } from '@stampede/shared/testing/events.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { freePort, freshDatabase, startRedis } from '@stampede/shared/testing/services.ts'
import { startStubService } from '@stampede/shared/testing/stub-service.ts'
import { authFunction } from './index.ts'

export const random = () => randomBytes(6).toString('hex')
export const newKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`
export const notificationType = 'io.stampede.notification.requested.v1'

export type Stage = Awaited<ReturnType<typeof startStage>>
export type Person = { kind: 'email' | 'phone'; value: string }

/** The cheapest hash that there is: what it costs is tested on its own. */
const cheapHash = { PASSWORD_MEMORY_KIB: '8', PASSWORD_PASSES: '1' }

export async function startStage(environment: Record<string, string> = {}) {
  const identity = await createTestIdentity()
  const [database, ownRedis, sink, port] = await Promise.all([
    freshDatabase(),
    startRedis(),
    startEventSink(),
    freePort(),
  ])
  /** Roles by user; the tenants in `down` get none. */
  const permission = { roles: new Map<string, string[]>(), down: new Set<string>() }
  const permissions = await startStubService(({ path, tenantId }) => {
    const userId = path.split('/').at(-1) ?? ''
    if (permission.down.has(tenantId)) return { status: 503, body: { code: 'dependency-unavailable', detail: 'down' } }
    return { body: { userId, roles: permission.roles.get(userId) ?? [] } }
  })
  const dataKeys = newKey('d1')
  const { AUTH_JWKS: _, ...hostEnvironment } = identity.environment
  const url = `http://127.0.0.1:${port}`
  const whole = {
    ...hostEnvironment,
    // It accepts what it issues itself.
    AUTH_JWKS_URL: `${url}/.well-known/jwks.json`,
    AUTH_ISSUER: url,
    DATABASE_URL: database.url,
    REDIS_URL: ownRedis.url,
    K_SINK: sink.url,
    PERMISSION_URL: permissions.url,
    DATA_KEYS: dataKeys,
    INDEX_KEY: newKey('i1'),
    LOG_LEVEL: 'silent',
    ...cheapHash,
    ...environment,
  }
  const start = (onPort = port, more: Record<string, string> = {}) =>
    serve([authFunction], { port: onPort, host: '127.0.0.1', environment: { ...whole, ...more } })
  let serving: Serving = await start()
  const others: Serving[] = []
  const sql = await mysql.createConnection({ uri: database.url, timezone: 'Z' })
  const host = { url, identity }

  const messages = (tenantId: string, recipient: string) => {
    const ring = createKeyRing(whole.DATA_KEYS)
    return sink.events
      .filter((event) => event.type === notificationType && event.data['tenantId'] === tenantId)
      .map(({ data }) => {
        const { notificationId, template } = data as { notificationId: string; template: string }
        const open = (column: 'recipient' | 'parameters', sealed: unknown) =>
          ring.open(String(sealed), notificationContext(tenantId, notificationId, column))
        const parameters = JSON.parse(open('parameters', data['sealedParameters'])) as Record<string, string>
        return { template, recipient: open('recipient', data['sealedRecipient']), parameters }
      })
      .filter((message) => message.recipient === recipient)
  }

  /** A tenant of its own and what people do in it. */
  const tenant = (at = url) => {
    const tenantId = `t-${random()}`
    const inTenant = (path: string, body: unknown, headers: Record<string, string> = {}) =>
      post(`${at}/api/v1/tenants/${tenantId}/auth/${path}`, body, headers)
    const person = (): Person => ({ kind: 'email', value: `ann-${random()}@example.com` })
    const said = async () => {
      for (;;) {
        const [[row]] = await sql.query<mysql.RowDataPacket[]>('SELECT COUNT(*) AS waiting FROM auth_outbox')
        if (Number(row?.['waiting']) === 0) return
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    }
    /** Asks for a code and reads the message. */
    const codeFor = async (contact: Person, purpose: string) => {
      const answer = await inTenant('codes', { contact, purpose })
      if (answer.status !== 202) throw new Error(JSON.stringify(answer))
      await said()
      return messages(tenantId, contact.value).at(-1)?.parameters['code'] ?? ''
    }
    const registered = async (password: string | undefined = 'correct horse battery') => {
      const contact = person()
      const code = await codeFor(contact, 'register')
      const answer = await inTenant('registrations', { contact, code, ...(password && { password }) })
      if (answer.status !== 201) throw new Error(JSON.stringify(answer))
      return { contact, password: password ?? '', tokens: answer.body as Body & { userId: string } }
    }
    return { tenantId, inTenant, person, codeFor, registered, said, messages: (to: string) => messages(tenantId, to) }
  }

  return {
    url,
    host,
    sink,
    sql,
    permission,
    identity,
    tenant,
    environment: whole,
    messagesTo: messages,
    redisUrl: ownRedis.url,
    tenantCall: (tenantId: string, path: string, body: unknown) =>
      post(`${url}/api/v1/tenants/${tenantId}/auth/${path}`, body),
    call: (method: string, path: string, token: string, body?: unknown) =>
      callUrl(`${url}${path}`, method, token, body),
    status: async (method: string, path: string, token: string, body?: unknown) => {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
        ...(body ? { body: JSON.stringify(body) } : {}),
      })
      await response.body?.cancel()
      return response.status
    },
    deliver: (event: Parameters<typeof deliver>[2]) => deliver(host, 'auth', event),
    tick: (task: string) => ping(host, 'auth', task),
    published: (tenantId: string, type: string) =>
      sink.events.filter((event) => event.type === type && event.data['tenantId'] === tenantId),
    /** Another process of the same installation. */
    another: async (more: Record<string, string> = {}) => {
      const other = await start(0, more)
      others.push(other)
      return other
    },
    restart: async (more: Record<string, string> = {}) => {
      await serving.stop()
      serving = await start(port, more)
    },
    stop: async () => {
      for (const other of others) await other.stop()
      await serving.stop()
      await ownRedis.stop()
      await sql.end()
      await permissions.stop()
      await sink.stop()
      await database.drop()
    },
  }
}

export async function post(url: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    body: (text === '' ? {} : JSON.parse(text)) as Body,
  }
}
