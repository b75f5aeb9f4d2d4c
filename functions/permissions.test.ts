/**
 * The permission matrix (SEC1): every route of the collection, hot ones included, × everybody who must be refused. Made from the
 * declarations: a new route is in it by itself, and one without a policy, or open to everyone without a reason here, fails it.
 */
import test from 'ava'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { findPolicies, walkPermissions } from '@stampede/shared/testing/permission-matrix.ts'
import { noLimits, startGateway } from './gateway/testing.ts'
import { everyFunction, functions } from './index.ts'
import { startCollection, type Collection } from './testing.ts'

/** Whoever adds a route here says why nobody has to sign in for it. */
const publicRoutes = {
  'GET /activities/:activityId/live': 'a page without data of its own; it asks the live route',
  'GET /api/v1/seckill/:activityId/live': 'the sale as everybody may watch it: counts, nobody’s name',
  'POST /api/v1/tenants/:tenantId/auth/codes': 'who has no token yet proves a contact',
  'POST /api/v1/tenants/:tenantId/auth/registrations': 'who has no token yet registers',
  'POST /api/v1/tenants/:tenantId/auth/sessions': 'who has no token yet signs in',
  'POST /api/v1/tenants/:tenantId/auth/tokens': 'the refresh token in the body is the credential',
  'POST /api/v1/tenants/:tenantId/auth/password-resets': 'who forgot the password proves a contact',
  'GET /.well-known/jwks.json': 'public keys; every verifier needs them',
  'MOUNT /oidc/:tenantId/':
    'OpenID Connect: discovery and sign-in are public, the library asks for credentials where the protocol does',
  'GET /notifications/outbox': 'a page without data of its own; the list behind it needs notifications.read',
}
const gatewayRoutes = { 'FALLBACK gateway': 'passes requests on; the functions behind it, and it itself, check tokens' }

test('permissions – every route of everything that is deployed declares who may call it', (t) => {
  t.deepEqual(findPolicies(everyFunction, { ...publicRoutes, ...gatewayRoutes }), [])
})

let collection: Collection
let redis: ReturnType<typeof connectRedis>
test.before(async () => {
  collection = await startCollection({ ACCESS_CONTROL: 'directory', ACCESS_STALE_MS: '5000' })
  redis = connectRedis(collection.redisUrl)
})
test.after.always(async () => {
  redis?.disconnect()
  await collection?.stop()
})

test.serial('permissions – no route lets in who may not, and each refusal is the right one', async (t) => {
  // Thousands of requests; minutes when the machine has other work.
  t.timeout(900_000)
  const { url, identity } = collection
  const { checked, findings } = await walkPermissions({ url, definitions: functions, identity, redis, publicRoutes })
  t.deepEqual(findings, [])
  const guarded = functions.flatMap(({ routes }) => routes).filter(({ options }) => options.auth !== 'public')
  t.true(guarded.length > 40 && checked >= guarded.length * 15, `${checked} requests for ${guarded.length} routes`)
  t.log(`${checked} requests to ${guarded.length} guarded routes`)
})

test.serial('permissions – nor does the gateway', async (t) => {
  t.timeout(900_000)
  const { identity } = collection
  // Beyond that many wrong tokens from one address it looks at none.
  const document = { ...noLimits, invalidTokens: { rate: 1_000_000, burst: 1_000_000 } }
  const gateway = await startGateway(collection.url, document, {
    ...identity.environment,
    ACCESS_CONTROL: 'directory',
    ACCESS_STALE_MS: '5000',
    REDIS_URL: collection.redisUrl,
  })
  t.teardown(() => gateway.stop())
  // One route of each policy for each function: the gateway decides by the policy, and the functions were asked above. What functions
  // have for each other is not behind it.
  const seen = new Set<string>()
  const definitions = functions.map((definition) => ({
    ...definition,
    mounts: [],
    routes: definition.routes.filter(({ options: { auth, permission } }) => {
      const policy = `${definition.name} ${auth} ${permission}`
      if (auth === 'service' || auth === 'public' || seen.has(policy)) return false
      seen.add(policy)
      return true
    }),
  }))
  const { checked, findings } = await walkPermissions({
    url: gateway.url,
    definitions,
    identity,
    redis,
    atGateway: true,
    publicRoutes: {},
  })
  t.deepEqual(findings, [])
  t.log(`${checked} requests for ${seen.size} policies`)
})
