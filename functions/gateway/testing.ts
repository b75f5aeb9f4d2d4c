/** The gateway served for tests: real sockets, real Redis; what is behind it are servers of the test. */
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { z } from 'zod'
import { serve } from '@stampede/shared/function/serve.ts'
import { spawnFunction } from '@stampede/shared/testing/function-process.ts'
import { createTestIdentity, type TestIdentity } from '@stampede/shared/testing/identity.ts'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import { functionNames } from './declared.ts'
import type { gatewayDocument } from './document.ts'
import { gatewayFunction } from './index.ts'

export type Document = z.input<typeof gatewayDocument>

export const random = (prefix: string): string => `${prefix}-${randomBytes(6).toString('hex')}`

export type TestUpstream = {
  url: string
  server: http.Server
  /** Requests that came, with their bodies read. */
  requests: { method: string; url: string; headers: http.IncomingHttpHeaders; rawHeaders: string[]; body: string }[]
  /** Requests whose handler was called. */
  count: number
  stop: () => Promise<void>
}

/** Answers with what it got, unless the test answers. `handle` gets the raw request: its body is not read. */
export async function startUpstream(
  handle?: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>,
): Promise<TestUpstream> {
  const requests: TestUpstream['requests'] = []
  const server = http.createServer((request, response) => {
    upstream.count++
    if (handle) {
      Promise.resolve(handle(request, response)).catch(() => response.destroy())
      return
    }
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')))
    request.on('end', () => {
      const { method = '', url = '', headers, rawHeaders } = request
      requests.push({ method, url, headers, rawHeaders, body })
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ method, url, headers, body }))
    })
  })
  server.keepAliveTimeout = 75_000
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const upstream: TestUpstream = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    requests,
    count: 0,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return upstream
}

/** All functions behind one address. */
export function environmentOf(identity: TestIdentity, url: string): Record<string, string> {
  return {
    ...identity.environment,
    REDIS_URL: serviceAddresses().redisUrl,
    LOG_LEVEL: 'silent',
    // On a busy machine a decision may take long.
    LIMITS_TIMEOUT_MS: '10000',
    ...Object.fromEntries(functionNames.map((name) => [`${name.replaceAll('-', '_').toUpperCase()}_URL`, url])),
  }
}

/** A limit with a name of its own: tests share a Redis. */
export const noLimits: Document = { limits: [] }

export type TestGateway = {
  url: string
  identity: TestIdentity
  /** Staff of a tenant of its own. */
  tenantId: string
  staff: string
  user: string
  /** Writes the document; returns its version. */
  write(document: Document): Promise<string>
  /** Writes it and waits until it applies. */
  configure(document: Document): Promise<void>
  metric(name: string, labels?: Record<string, string>): Promise<number>
  stop: () => Promise<void>
}

/** The document in a folder of its own; replaced as a mount is: at once. */
async function documentFolder(document: Document) {
  const folder = await mkdtemp(join(tmpdir(), 'stampede-gateway-'))
  let version = 0
  const write = async (next: Document) => {
    version++
    await writeFile(join(folder, 'next'), JSON.stringify({ version: `test-${version}`, ...next }))
    await rename(join(folder, 'next'), join(folder, 'gateway.yaml'))
    return `test-${version}`
  }
  await write(document)
  return { folder, write, remove: () => rm(folder, { recursive: true, force: true }) }
}

/** In this process. */
export async function startGateway(
  upstreamUrl: string,
  document: Document = noLimits,
  environment: Record<string, string> = {},
): Promise<TestGateway> {
  const identity = await createTestIdentity()
  const documents = await documentFolder(document)
  const serving = await serve([gatewayFunction], {
    port: 0,
    host: '127.0.0.1',
    environment: { ...environmentOf(identity, upstreamUrl), CONFIGURATION_FOLDER: documents.folder, ...environment },
  })
  return testGateway(serving.url, identity, documents, async () => serving.stop())
}

export type GatewayProcess = TestGateway & { child: ChildProcess; output(): string }

/** As a process of its own, as it runs in production. */
export async function spawnGateway(
  upstreamUrl: string,
  document: Document = noLimits,
  options: { identity?: TestIdentity; environment?: Record<string, string> } = {},
): Promise<GatewayProcess> {
  const identity = options.identity ?? (await createTestIdentity())
  const documents = await documentFolder(document)
  const { url, child, output, stop } = await spawnFunction(import.meta.dirname, {
    ...environmentOf(identity, upstreamUrl),
    CONFIGURATION_FOLDER: documents.folder,
    ...options.environment,
  })
  const gateway = await testGateway(url, identity, documents, stop)
  return Object.assign(gateway, { child, output })
}

async function testGateway(
  url: string,
  identity: TestIdentity,
  documents: Awaited<ReturnType<typeof documentFolder>>,
  stop: () => Promise<void>,
): Promise<TestGateway> {
  const tenantId = random('tenant')
  const metric: TestGateway['metric'] = async (name, labels = {}) => {
    const text = await (await fetch(`${url}/metrics`)).text()
    let sum = 0
    for (const line of text.split('\n')) {
      if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue
      if (!Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`))) continue
      sum += Number(line.slice(line.lastIndexOf(' ')))
    }
    return sum
  }
  return {
    url,
    identity,
    tenantId,
    staff: await identity.token({ tenantId, userId: 'keeper', roles: ['administrator'] }),
    user: await identity.token({ tenantId, userId: 'buyer' }),
    metric,
    write: documents.write,
    async configure(document) {
      const version = await documents.write(document)
      await until(async () => (await metric('configuration_version_info', { version })) === 1)
    },
    async stop() {
      await stop()
      await documents.remove()
    },
  }
}

/** Looks until it is so; throws after a minute: the machine may be busy. */
export async function until(look: () => boolean | Promise<boolean>): Promise<void> {
  const untilMs = performance.now() + 60_000
  while (!(await look())) {
    if (performance.now() > untilMs) throw new Error('it did not become so within a minute')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
