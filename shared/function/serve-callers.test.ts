/** Who may call what, on a real server. */
import test from 'ava'
import { walkPermissions } from '../testing/permission-matrix.ts'
import { identity, problem, serveProbe } from './serve-client.fixture.ts'
import { createProbe } from './serve.fixture.ts'

const shared = await serveProbe()
const { url, call } = shared
test.after.always(() => shared.stop())

test('callers – nobody gets where they may not', async (t) => {
  const { checked, findings } = await walkPermissions({ url, definitions: [shared.definition], identity })
  t.deepEqual(findings, [])
  t.is(checked, 3 * 12 + 1 + 3 + 3)
})

test('callers – a permission matrix over a route that lets everyone in finds it', async (t) => {
  const open = createProbe()
  const paths = ['/probe/items/:itemId', '/probe/hot/:itemId/press']
  const routes = open.definition.routes.filter(({ path, method }) => paths.includes(path) && method !== 'DELETE')
  const pretended = {
    ...open.definition,
    routes: routes.map((own) => ({ ...own, options: { ...own.options, auth: 'user' as const, permission: undefined } })),
  }
  const { findings } = await walkPermissions({ url, definitions: [pretended], identity })
  t.true(
    findings.some(
      ({ route, caller, status }) => route === 'GET /probe/items/:itemId' && caller === 'no token' && status === 200,
    ),
  )
  t.true(findings.some(({ route }) => route === 'POST /probe/hot/:itemId/press'))
})

test('callers – people, staff and services get where they may', async (t) => {
  const as = async (path: string, token: string) =>
    (await call(path, { headers: { authorization: `Bearer ${token}` } })).body
  t.like(await as('/probe/mine', await identity.token({ tenantId: 'shop' })), { kind: 'user', tenantId: 'shop' })
  t.like(await as('/probe/mine', await identity.token({ roles: ['administrator'] })), { kind: 'staff' })
  t.like(await as('/probe/internal', await identity.serviceToken('shop')), { kind: 'service', tenantId: 'shop' })
})

test('callers – a token that is not valid is refused on public routes too, and says how to identify', async (t) => {
  const refused = await call('/probe/items/x1', { headers: { authorization: 'Bearer nonsense' } })
  problem(t, refused, 401, 'unauthenticated')
  t.is(refused.headers.get('www-authenticate'), 'Bearer')
})
