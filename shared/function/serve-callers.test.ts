/** Who may call what, on a real server with a real access directory. */
import test, { type ExecutionContext } from 'ava'
import { createAccessDirectory } from '../access/directory.ts'
import { connectRedis } from '../redis/connect.ts'
import { walkPermissions, type MatrixOptions } from '../testing/permission-matrix.ts'
import { startRedis } from '../testing/services.ts'
import type { AnyFunction, HotRoute, Route } from './declaration.ts'
import { identity, problem, serveProbe, started } from './serve-client.fixture.ts'
import { createProbe } from './serve.fixture.ts'
import { serve } from './serve.ts'

type AnyRoute = Route<unknown> | HotRoute<unknown>

/** A probe that asks the directory of an own Redis. */
async function withDirectory(t: ExecutionContext) {
  const server = await startRedis()
  const redis = connectRedis(server.url)
  const serving = await serveProbe({ ACCESS_CONTROL: 'directory', REDIS_URL: server.url, ACCESS_STALE_MS: '5000' })
  t.teardown(async () => {
    await serving.stop()
    redis.disconnect()
    await server.stop()
  })
  const directory = createAccessDirectory(redis)
  // Were somebody let in to these, the test would end without saying who.
  const destructive = ['/probe/crash', '/probe/reject', '/probe/held']
  const definition: AnyFunction = {
    ...serving.definition,
    routes: (serving.definition.routes as readonly AnyRoute[]).filter(({ path }) => !destructive.includes(path)),
  }
  const publicRoutes = Object.fromEntries(
    definition.routes
      .filter(({ options }) => options.auth === 'public')
      .map(({ method, path }) => [`${method} ${path}`, 'a probe']),
  )
  const walk = (more: Partial<MatrixOptions> = {}) =>
    walkPermissions({ url: serving.url, definitions: [definition], identity, redis, publicRoutes, ...more })
  return { ...serving, definition, server, directory, walk }
}

/** The same routes with other policies than those that are served. */
function pretending(definition: AnyFunction, paths: readonly string[], options: object): AnyFunction {
  const routes = (definition.routes as readonly AnyRoute[]).filter(({ path }) => paths.includes(path))
  return {
    ...definition,
    routes: routes.map((own) => ({ ...own, options: { ...own.options, ...options } })),
  }
}

test.serial('callers – nobody gets where they may not', async (t) => {
  const { walk } = await withDirectory(t)
  const { checked, findings } = await walk()
  t.deepEqual(findings, [])
  t.true(checked > 200, String(checked))
})

test.serial('callers – a walk over a route that lets in too many finds each of them', async (t) => {
  const { walk, definition } = await withDirectory(t)
  const found = async (paths: readonly string[], options: object) => {
    const { findings } = await walk({ definitions: [pretending(definition, paths, options)], publicRoutes: {} })
    return findings.map(({ caller, got }) => `${caller}: ${got}`)
  }
  // The host lets everyone in, and any signed-in person.
  const open = await found(['/probe/hot/:itemId'], { auth: 'user', permission: undefined })
  for (const caller of ['no token', 'expired', 'algorithm none', 'public key as secret', 'somebody deactivated'])
    t.true(open.includes(`${caller}: 200 `), caller)
  for (const caller of ['a revoked session', 'somebody signed out everywhere', 'somebody of a suspended tenant'])
    t.true(open.includes(`${caller}: 200 `), caller)
  const forUsers = await found(['/probe/mine'], { auth: 'staff', permission: 'orders.read' })
  t.deepEqual(forUsers.filter((one) => one.endsWith('200 ')).sort(), [
    'a role with every other permission: 200 ',
    'a user who claims to be a service: 200 ',
    'a user: 200 ',
    'somebody whose roles were taken away: 200 ',
    'staff of before there were permissions: 200 ',
    'the platform’s role in a tenant: 200 ',
  ])
  // Another permission than the one that is declared.
  const other = await found(['/probe/items/:itemId'], { auth: 'staff', permission: 'platform.keys' })
  t.true(other.includes('the administrator of a tenant: 204 '))
})

test.serial(
  'callers – a route without a policy, a public one without a reason, and a reason without a route are found',
  async (t) => {
    const { walk, definition } = await withDirectory(t)
    const routes = definition.routes as readonly AnyRoute[]
    const reasons = (definitions: AnyFunction[], publicRoutes: Record<string, string>) =>
      walk({ definitions, publicRoutes }).then(({ findings }) =>
        findings.filter(({ caller }) => caller === 'anyone').map(({ route, got }) => `${route}: ${got}`),
      )
    const staff = '/probe/items/:itemId'
    t.deepEqual(await reasons([{ ...definition, routes: [] }], { 'GET /gone': 'it was here' }), [
      'GET /gone: a reason alone',
    ])
    const bare = pretending({ ...definition, routes: routes.filter(({ method }) => method === 'DELETE') }, [staff], {
      permission: undefined,
    })
    t.deepEqual(await reasons([bare], {}), [`DELETE ${staff}: is for staff and declares no permission`])
    const silent = pretending(definition, ['/probe/mine'], { auth: undefined })
    t.regex(String(await reasons([silent], {})), /does not say who may call it/)
    t.deepEqual(await reasons([pretending(definition, ['/probe/text'], {})], {}), ['GET /probe/text: open to everyone'])
    const mounted: AnyFunction = {
      ...definition,
      routes: [],
      mounts: [{ kind: 'mount', prefix: '/oidc/', options: { auth: 'public', summary: '' }, handler: () => () => {} }],
      fallback: () => () => {},
    }
    t.deepEqual(await reasons([mounted], {}), ['MOUNT /oidc/: open to everyone', 'FALLBACK probe: open to everyone'])
  },
)

test.serial('callers – without the directory nobody gets in, and services do', async (t) => {
  const { server, call, directory } = await withDirectory(t)
  await directory.putTenant('acme', { state: 'active', quota: {}, version: 1 })
  const as = async (path: string, token: string) => call(path, { headers: { authorization: `Bearer ${token}` } })
  const token = await identity.token()
  t.is((await as('/probe/mine', token)).status, 200)
  await server.kill()
  let answer = await as('/probe/mine', token)
  // What was known a moment ago may be believed for that moment.
  while (answer.status === 200) answer = await as('/probe/mine', token)
  problem(t, answer, 503, 'dependency-unavailable')
  t.is(answer.headers.get('retry-after'), '1')
  problem(t, await as('/probe/items/x1', token), 503, 'dependency-unavailable')
  t.is((await call('/probe/items/x1')).status, 200)
  t.is((await as('/probe/internal', await identity.serviceToken())).status, 200)
})

test.serial('callers – a role that was given after the token was issued makes staff at once', async (t) => {
  const { call, directory } = await withDirectory(t)
  await directory.putTenant('acme', { state: 'active', quota: {}, version: 1 })
  const headers = { authorization: `Bearer ${await identity.token({ userId: 'ann' })}` }
  const remove = () => call('/probe/items/x1', { method: 'DELETE', headers })
  problem(t, await remove(), 403, 'forbidden')
  await directory.correct('acme', 'ann', { atMs: Date.now() + 1_000, roles: ['operator'] })
  let answer = await remove()
  for (let attempt = 0; answer.status === 403 && attempt < 200; attempt++) answer = await remove()
  t.is(answer.status, 204)
})

test('callers – people, staff and services get where they may', async (t) => {
  const { call } = await started(t)
  const as = async (path: string, token: string) =>
    (await call(path, { headers: { authorization: `Bearer ${token}` } })).body
  t.like(await as('/probe/mine', await identity.token({ tenantId: 'shop' })), { kind: 'user', tenantId: 'shop' })
  t.like(await as('/probe/mine', await identity.token({ roles: ['support'] })), { kind: 'staff' })
  t.like(await as('/probe/internal', await identity.serviceToken('shop')), { kind: 'service', tenantId: 'shop' })
})

test('callers – a token that is not valid is refused on public routes too, and says how to identify', async (t) => {
  const { call } = await started(t)
  const refused = await call('/probe/items/x1', { headers: { authorization: 'Bearer nonsense' } })
  problem(t, refused, 401, 'unauthenticated')
  t.is(refused.headers.get('www-authenticate'), 'Bearer')
})

test('declarations – a policy that says too little does not start', async (t) => {
  const start = async (options: object) => {
    const { definition } = createProbe()
    await serve([pretending(definition, ['/probe/mine'], options)], { port: 0, environment: identity.environment })
  }
  await t.throwsAsync(start({ auth: 'staff' }), {
    message: /GET \/probe\/mine is for staff and declares no permission/,
  })
  await t.throwsAsync(start({ auth: 'staff', permission: 'orders.eat' }), { message: /does not exist: "orders.eat"/ })
  await t.throwsAsync(start({ auth: 'user', permission: 'orders.read' }), { message: /not for staff/ })
  await t.throwsAsync(start({ auth: 'anyone' }), { message: /does not say who may call it/ })
})
