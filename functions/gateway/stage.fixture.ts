/** A gateway with an upstream that answers with what it got, for tests that ask and look at the answer. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import type { Body } from '@stampede/shared/testing/call.ts'
import {
  noLimits,
  random,
  startGateway,
  startUpstream,
  type Document,
  type TestGateway,
  type TestUpstream,
} from './testing.ts'

export type Answer = {
  status: number
  headers: IncomingHttpHeaders
  rawHeaders: string[]
  text: string
  body: Body
}
export type Stage = TestGateway & {
  upstream: TestUpstream
  send(method: string, path: string, headers?: Record<string, string | string[]>, body?: string): Promise<Answer>
}

/** fetch would not send some of these headers. */
function send(
  url: string,
  method: string,
  path: string,
  headers: Record<string, string | string[]> = {},
  body?: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const framed = body === undefined || headers['transfer-encoding'] !== undefined
    const length: Record<string, string> = framed ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const request = httpRequest(
      { hostname, port, method, path, headers: { ...length, ...headers }, agent: false },
      (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.on('end', () => {
          const json = text.startsWith('{') ? (JSON.parse(text) as Body) : {}
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            rawHeaders: response.rawHeaders,
            text,
            body: json,
          })
        })
      },
    )
    request.on('error', reject)
    request.end(body)
  })
}

/** A gateway and the upstream of all functions behind it. */
export async function startStage(
  document: Document = noLimits,
  environment: Record<string, string> = {},
  handle?: Parameters<typeof startUpstream>[0],
): Promise<Stage> {
  const upstream = await startUpstream(handle)
  const gateway = await startGateway(upstream.url, document, environment)
  const { stop } = gateway
  return Object.assign(gateway, {
    upstream,
    send: (method: string, path: string, headers?: Record<string, string | string[]>, body?: string) =>
      send(gateway.url, method, path, headers, body),
    stop: async () => {
      await stop()
      await upstream.stop()
    },
  })
}

/** A path that no other test asks for, and what of it reached the upstream. */
export function marked({ upstream }: Stage, path: string) {
  const mark = random('mark')
  const own = `${path}?mark=${mark}`
  return { path: own, arrived: () => upstream.requests.filter(({ url }) => url.includes(mark)).length }
}

export const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
export const live = '/api/v1/seckill/a1/live'
export const purchases = '/api/v1/seckill/a1/purchases'
