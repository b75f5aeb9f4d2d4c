import { createServer } from 'node:http'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { z } from 'zod'
import { createTokenVerifier } from '../identity/access-token.ts'
import { sendJson, sendProblem } from './answer.ts'
import { createServiceClient } from './client.ts'
import { Problem } from './problem.ts'
import type { ProblemCode } from './problem.ts'

const secret = 's'.repeat(40)
const Thing = z.object({ id: z.string() })

async function against(t: ExecutionContext, answer: RequestListener, timeoutMs = 2_000) {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return createServiceClient({ baseUrl, service: 'order', secret, timeoutMs })
}

async function problemOf(t: ExecutionContext, call: Promise<unknown>): Promise<Problem> {
  const error = await t.throwsAsync(call, { instanceOf: Problem })
  return error
}

test('service client – identifies itself for the tenant and gives the checked answer', async (t) => {
  const verifier = createTokenVerifier({ serviceSecret: secret })
  const seen: unknown[] = []
  const answerAs = async (request: IncomingMessage, response: ServerResponse, body: string) => {
    const principal = await verifier.verify(request.headers.authorization?.slice(7) ?? '')
    seen.push([request.method, request.url, body, principal.kind, principal.tenantId, principal.userId])
    sendJson(response, 200, { id: 'a', more: 1 })
  }
  const client = await against(t, (request, response) => {
    let body = ''
    request.on('data', (chunk) => (body += String(chunk)))
    request.on('end', () => {
      void answerAs(request, response, body)
    })
  })
  t.deepEqual(await client.get('/things/a?x=1', 'acme', Thing), { id: 'a' })
  t.deepEqual(await client.post('/things', 'other', { n: 1 }, Thing), { id: 'a' })
  t.deepEqual(seen, [
    ['GET', '/things/a?x=1', '', 'service', 'acme', 'order'],
    ['POST', '/things', '{"n":1}', 'service', 'other', 'order'],
  ])
})

test('service client – passes on a refusal of what was asked', async (t) => {
  const client = await against(t, (_, response) =>
    sendProblem(response, new Problem('not-found', 'No such thing.', { extensions: { id: 'a' } })),
  )
  const problem = await problemOf(t, client.get('/x', 'acme', Thing))
  t.deepEqual([problem.problem, problem.detail, problem.extensions], ['not-found', 'No such thing.', { id: 'a' }])
})

test('service client – failures and refusals of the caller are a dependency that is unavailable', async (t) => {
  const codes: ProblemCode[] = ['internal', 'overloaded', 'unauthenticated', 'forbidden']
  for (const code of codes) {
    const client = await against(t, (_, response) =>
      sendProblem(response, new Problem(code, 'secret detail', { retryAfterSeconds: 7 })),
    )
    const problem = await problemOf(t, client.get('/x', 'acme', Thing))
    t.deepEqual([problem.problem, problem.retryAfterSeconds], ['dependency-unavailable', 7])
    t.notRegex(problem.detail, /secret/)
  }
})

test('service client – answers that are not what was promised are a dependency that is unavailable', async (t) => {
  const answers: RequestListener[] = [
    (_, response) => sendJson(response, 200, { id: 1 }),
    (_, response) => response.end('<html>'),
    (_, response) => response.writeHead(404).end('not a problem document'),
    (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    (_, response) => response.destroy(),
    () => {},
  ]
  for (const [index, answer] of answers.entries()) {
    const client = await against(t, answer, 150)
    t.is((await problemOf(t, client.get('/x', 'acme', Thing))).problem, 'dependency-unavailable', `answer ${index}`)
  }
})
