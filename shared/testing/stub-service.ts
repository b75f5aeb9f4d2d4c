/** The HTTP of another function, answered by the test: what is tested is one function, the others are only their contract. */
import http from 'node:http'
import type { AddressInfo } from 'node:net'

export type StubRequest = { method: string; path: string; query: URLSearchParams; body: unknown; tenantId: string }
/** `undefined`: 404. */
export type StubAnswer = { status?: number; body: unknown } | undefined

export type StubService = { url: string; requests: StubRequest[]; stop(): Promise<void> }

/** The tenant is read from the token's claims; whoever checks tokens is tested elsewhere. */
function tenantOf(authorization: string | undefined): string {
  const claims = authorization?.split('.')[1]
  if (!claims) return ''
  return (JSON.parse(Buffer.from(claims, 'base64url').toString()) as { tenant?: string }).tenant ?? ''
}

export async function startStubService(
  answer: (request: StubRequest) => StubAnswer | Promise<StubAnswer>,
): Promise<StubService> {
  const requests: StubRequest[] = []
  const handle = async (message: http.IncomingMessage, response: http.ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of message) chunks.push(chunk as Buffer)
    const url = new URL(message.url ?? '/', 'http://stub')
    const text = Buffer.concat(chunks).toString()
    const request: StubRequest = {
      method: message.method ?? 'GET',
      path: url.pathname,
      query: url.searchParams,
      body: text === '' ? undefined : (JSON.parse(text) as unknown),
      tenantId: tenantOf(message.headers.authorization),
    }
    requests.push(request)
    const { status = 200, body } = (await answer(request)) ?? {
      status: 404,
      body: {
        type: 'urn:stampede:problem:not-found',
        title: 'Not found',
        status: 404,
        code: 'not-found',
        detail: 'not here',
      },
    }
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }
  const server = http.createServer((message, response) => {
    handle(message, response).catch((error: unknown) => response.writeHead(500).end(String(error)))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
