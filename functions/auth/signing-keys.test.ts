import test from 'ava'
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { createTokenVerifier } from '@stampede/shared/identity/access-token.ts'
import { platformTenant } from '@stampede/shared/identity/service-token.ts'
import { newKey, post, startStage } from './testing.ts'
import { isRotationDue, nextRotationMs } from './key-schedule.ts'

// Short times, but longer than verifiers wait before they fetch keys again; the schedule itself is tested with its real ones.
const stage = await startStage({ JWKS_CACHE_SECONDS: '0', KEY_MARGIN_SECONDS: '12' })
test.after.always(() => stage.stop())
const jwks = async (url = stage.url) =>
  ((await (await fetch(`${url}/.well-known/jwks.json`)).json()) as { keys: Record<string, string>[] }).keys

/** A signed-in person of the platform's tenant with this role. */
async function keeper(role: string) {
  const tenant = stage.tenant()
  const { tokens } = await tenant.registered()
  stage.permission.roles.set(tokens.userId, [role])
  const refreshed = await tenant.inTenant('tokens', { refreshToken: tokens['refreshToken'] })
  return { token: refreshed.body['accessToken'] as string }
}

async function platformKeeper() {
  const contact = { kind: 'email', value: `keeper-${Math.random()}@example.com` } as const
  const ask = (path: string, body: unknown) => post(`${stage.url}/api/v1/tenants/${platformTenant}/auth/${path}`, body)
  await ask('codes', { contact, purpose: 'register' })
  await stage.tenant().said()
  const code = stage.messagesTo(platformTenant, contact.value).at(-1)?.parameters['code']
  const made = await ask('registrations', { contact, code })
  stage.permission.roles.set(made.body['userId'], ['platform-administrator'])
  return (await ask('tokens', { refreshToken: made.body['refreshToken'] })).body['accessToken'] as string
}

test.serial('signing keys – are for whom they are for', async (t) => {
  const { token } = await keeper('administrator')
  t.is(await stage.status('POST', '/api/v1/signing-keys/rotations', token), 403)
  const elsewhere = await keeper('platform-administrator')
  t.is(
    await stage.status('POST', '/api/v1/signing-keys/rotations', elsewhere.token),
    403,
    'not of the platform’s own tenant',
  )
})

test.serial('signing keys – two processes that start at once make one key, and show the same', async (t) => {
  const [one, other] = [await stage.another(), await stage.another()]
  t.deepEqual(await jwks(one.url), await jwks(other.url))
  t.is((await jwks()).length, 1)
  for (const key of await jwks()) {
    t.is(key['d'], undefined)
    t.like(key, { alg: 'ES256', use: 'sig', kty: 'EC' })
  }
})

test.serial('signing keys – a rotation while tokens are issued and checked: none is refused', async (t) => {
  const token = await platformKeeper()
  const { registered, tenantId } = stage.tenant()
  const { contact, password } = await registered()
  // As every function's host checks them: keys are fetched once, and again for an unknown one.
  const verifier = createTokenVerifier({
    jwksUrl: `${stage.url}/.well-known/jwks.json`,
    issuer: stage.url,
    audience: 'stampede',
  })
  const other = await stage.another()
  const kids = new Set<string>()
  const issued: string[] = []
  const ending = new AbortController()
  const traffic = (async () => {
    while (!ending.signal.aborted) {
      const at = issued.length % 2 === 0 ? stage.url : other.url
      const { status, body } = await post(`${at}/api/v1/tenants/${tenantId}/auth/sessions`, { contact, password })
      t.is(status, 201)
      kids.add(String(decodeProtectedHeader(body['accessToken']).kid))
      await verifier.verify(body['accessToken'])
      issued.push(body['accessToken'])
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  })()
  const rotated = await stage.call('POST', '/api/v1/signing-keys/rotations', token)
  t.is(rotated.status, 201)
  t.deepEqual((await jwks()).map(({ kid }) => kid).slice(-1), [rotated.body['keyId']])
  const limitMs = performance.now() + 60_000
  while (!kids.has(rotated.body['keyId']) && performance.now() < limitMs)
    await new Promise((resolve) => setTimeout(resolve, 50))
  ending.abort()
  await traffic
  t.is(kids.size, 2, `${issued.length} tokens`)
  const fresh = createRemoteJWKSet(new URL(`${stage.url}/.well-known/jwks.json`))
  for (const one of issued) await jwtVerify(one, fresh)
  t.is(await stage.status('GET', '/api/v1/sessions', issued[0]!), 200, 'the first is still good everywhere')
  await stage.tenant().said()
  t.is(stage.published(platformTenant, 'io.stampede.audit.recorded.v1').length, 1)
})

test.serial(
  'signing keys – the schedule seals them again with the newest key of the ring, and rotates to another algorithm',
  async (t) => {
    const newest = newKey('d2')
    const ring = `${newest},${stage.environment['DATA_KEYS']}`
    const other = await stage.another({ DATA_KEYS: ring, SIGNING_ALGORITHM: 'EdDSA' })
    const before = await jwks(other.url)
    const ping = async () =>
      fetch(`${other.url}/events/auth`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${await stage.identity.serviceToken()}`,
          'content-type': 'application/json',
          'ce-id': `ping-${Math.random()}`,
          'ce-source': '/pings',
          'ce-specversion': '1.0',
          'ce-type': 'dev.knative.sources.ping',
        },
        body: JSON.stringify({ function: 'auth', task: 'maintain-keys' }),
      })
    t.is((await ping()).status, 204)
    const [rows] = await stage.sql.query('SELECT sealed_private_jwk AS sealed FROM auth_signing_keys')
    t.true((rows as { sealed: string }[]).every(({ sealed }) => sealed.startsWith('v1.d2.')))
    t.deepEqual(await jwks(other.url), before, 'nothing was due')
    await stage.sql.query('UPDATE auth_signing_keys SET signs_at = signs_at - INTERVAL 40 DAY')
    t.is((await ping()).status, 204)
    t.is((await ping()).status, 204)
    t.is((await jwks(other.url)).filter(({ kty }) => kty === 'OKP').length, 1)
    // With the new key alone: what was sealed with the old one is not needed any more.
    const later = await stage.another({ DATA_KEYS: newest })
    t.is((await jwks(later.url)).length, before.length + 1)
  },
)

test('schedule – the next rotation is when the signer has signed long enough, unless its successor is there', (t) => {
  const timings = { cacheMs: 10, tokenMs: 10, marginMs: 10, rotateAfterMs: 1_000 }
  const key = (signsAtMs: number) => ({
    keyId: `k${signsAtMs}`,
    algorithm: 'ES256' as const,
    publicJwk: '{}',
    sealedPrivateJwk: '',
    publishedAtMs: signsAtMs,
    signsAtMs,
    hiddenAtMs: undefined,
  })
  t.is(nextRotationMs([], timings, 5_000), 5_000)
  t.is(nextRotationMs([key(4_900)], timings, 5_000), 5_900)
  t.false(isRotationDue([key(4_900)], timings, 5_899))
  t.true(isRotationDue([key(4_900)], timings, 5_900))
  t.is(nextRotationMs([key(4_900), key(5_500)], timings, 5_000), undefined)
})
