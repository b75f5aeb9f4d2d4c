/** Libraries with routes of their own, and a function that takes what no route matches. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import test, { type ExecutionContext } from 'ava'
import { z } from 'zod'
import { defineFunction, mount, route, type AnyFunction, type RawHandler } from './declaration.ts'
import { environment, problem } from './serve-client.fixture.ts'
import { serve } from './serve.ts'

const echo =
  (who: string): RawHandler =>
  async (request: IncomingMessage, response: ServerResponse, params) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    if (body === 'break') throw new Error('password=hunter2')
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ who, method: request.method, url: request.url, params, body }))
  }

const library = (overrides: Partial<AnyFunction> = {}) =>
  defineFunction({
    name: 'library',
    summary: 'Mounts.',
    config: z.object({}),
    connect: () => 'library',
    routes: [
      route('GET', '/own/:id', { auth: 'public', summary: 'Its own.' }, ({ params }) => ({ own: params })),
      route('GET', '/.well-known/jwks.json', { auth: 'public', summary: 'Beside a mount.' }, () => ({ keys: [] })),
    ],
    mounts: [
      mount('/oidc/', { auth: 'public', summary: 'The library.' }, (name: string) => echo(`${name} below`)),
      mount('/of/:tenantId/oidc/', { auth: 'public', summary: 'One for each.' }, () => echo('tenant')),
      mount('/.well-known/openid-configuration', { auth: 'public', summary: 'Discovery.' }, () => echo('alone')),
    ],
    ...overrides,
  })

async function started(t: ExecutionContext, definitions: readonly AnyFunction[], extra: Record<string, string> = {}) {
  const serving = await serve(definitions, { port: 0, host: '127.0.0.1', environment: { ...environment, ...extra } })
  t.teardown(serving.stop)
  return async (method: string, path: string, body?: string) => {
    const response = await fetch(serving.url + path, { method, ...(body === undefined ? {} : { body }) })
    const text = await response.text()
    // eslint-disable-next-line typescript/no-explicit-any -- documents of many shapes
    const answer: any = text.startsWith('{') ? JSON.parse(text) : text
    return { status: response.status, headers: response.headers, body: answer, text }
  }
}

test('mounts – get every method below their prefix, raw, and nothing else', async (t) => {
  const call = await started(t, [library()])
  t.like((await call('POST', '/oidc/token?x=%20', 'a=1')).body, {
    who: 'library below',
    method: 'POST',
    url: '/oidc/token?x=%20',
    body: 'a=1',
  })
  t.like((await call('DELETE', '/oidc/a%2Fb/c')).body, { method: 'DELETE', url: '/oidc/a%2Fb/c' })
  t.like((await call('GET', '/of/acme/oidc/auth')).body, { who: 'tenant', params: ['acme'] })
  t.like((await call('GET', '/.well-known/openid-configuration?a=1')).body, { who: 'alone' })
  t.deepEqual((await call('GET', '/.well-known/jwks.json')).body, { keys: [] })
  for (const path of ['/oidc', '/oidcx/a', '/of/acme/x/oidc/', '/.well-known/openid-configuration/x'])
    problem(t, await call('GET', path), 404, 'not-found')
})

test('mounts – a failure is answered without its message', async (t) => {
  const call = await started(t, [library()])
  const answer = await call('POST', '/oidc/token', 'break')
  problem(t, answer, 500, 'internal')
  t.notRegex(answer.text, /hunter2/)
})

test('mounts – count as requests in flight, and in the metrics of hot routes', async (t) => {
  const holding = Promise.withResolvers<void>()
  const entered = Promise.withResolvers<void>()
  const definition = library({
    mounts: [
      mount('/held/', { auth: 'public', summary: 'Waits.' }, () => async (_request, response) => {
        entered.resolve()
        await holding.promise
        response.end('done')
      }),
    ],
  })
  const call = await started(t, [definition], { MAX_IN_FLIGHT: '1' })
  const first = call('GET', '/held/1')
  await entered.promise
  problem(t, await call('GET', '/held/2'), 503, 'overloaded')
  problem(t, await call('GET', '/own/1'), 503, 'overloaded')
  holding.resolve()
  t.is((await first).text, 'done')
  const metrics = (await call('GET', '/metrics')).text
  t.regex(metrics, /http_hot_requests_total\{route="\/held\/",method="\*"\} 2/)
  t.regex(metrics, /http_requests_in_flight\{kind="requests"\} 0/)
})

test('mounts – what hides a route or another mount does not start', async (t) => {
  const own = { auth: 'public', summary: 'Hides.' } as const
  const start = async (...prefixes: string[]) =>
    started(t, [library({ mounts: prefixes.map((prefix) => mount(prefix, own, () => echo(''))) })])
  await t.throwsAsync(start('/own/'), { message: /\/own\/:id is declared/ })
  await t.throwsAsync(start('/a/b/', '/a/'), { message: /\/a\/b\/ is declared/ })
  await t.throwsAsync(start('oidc/'), { message: /not of the form/ })
})

const gateway = (name = 'gateway', overrides: Partial<AnyFunction> = {}) =>
  defineFunction({
    name,
    summary: 'Takes the rest.',
    config: z.object({}),
    connect: () => 'taken',
    routes: [route('GET', '/gateway/state', { auth: 'public', summary: 'Its own.' }, () => ({ state: 'own' }))],
    fallback: (who: string) => echo(who),
    ...overrides,
  })

test('fallback – takes what no route matches, with any method and path', async (t) => {
  const call = await started(t, [gateway()])
  for (const path of ['/', '/api/v1/orders?a=%zz', '/events/order', '/a%2', '/health/other']) {
    t.like((await call('POST', path, 'x')).body, { who: 'taken', url: path, body: 'x' }, path)
  }
  t.like((await call('PROPFIND', '/x')).body, { method: 'PROPFIND' })
  t.deepEqual((await call('GET', '/gateway/state')).body, { state: 'own' })
  problem(t, await call('POST', '/gateway/state'), 405, 'method-not-allowed')
  t.deepEqual((await call('GET', '/health/liveness')).body, { status: 'alive' })
})

test('fallback – beside other functions it gets neither their routes nor their events', async (t) => {
  const other = library({ schedules: [{ task: 'tick', cron: '* * * * *', options: {}, run: async () => {} }] })
  const call = await started(t, [gateway(), other])
  t.deepEqual((await call('GET', '/own/1')).body, { own: { id: '1' } })
  t.like((await call('GET', '/oidc/x')).body, { who: 'library below' })
  t.is((await call('POST', '/events/library', '{}')).status, 401)
  t.like((await call('GET', '/elsewhere')).body, { who: 'taken' })
})

test('fallback – only one function of a process can have it', async (t) => {
  await t.throwsAsync(started(t, [gateway(), gateway('second')]), { message: /gateway and second both take/ })
})
