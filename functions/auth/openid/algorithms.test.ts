/** The provider with the other algorithm, and while the keys change from one to the other. */
import test from 'ava'
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { startStage } from '../testing.ts'

const stage = await startStage({ SIGNING_ALGORITHM: 'EdDSA', JWKS_CACHE_SECONDS: '0', KEY_MARGIN_SECONDS: '3' })
test.after.always(() => stage.stop())

test('OpenID Connect – tokens are signed with Ed25519, and with ES256 after the installation chose it', async (t) => {
  const { registered, inTenant } = stage.tenant()
  const keeper = await registered()
  stage.permission.roles.set(keeper.tokens.userId, ['administrator'])
  const session = await inTenant('sessions', { contact: keeper.contact, password: keeper.password })
  const made = await stage.call('POST', '/api/v1/clients', session.body['accessToken'], {
    name: 'Reports',
    kind: 'service',
  })
  const { clientId, clientSecret, issuer } = made.body as Record<string, string>
  stage.permission.roles.set(clientId!, ['auditor'])
  const tokenFor = async (base = stage.url) => {
    const response = await fetch(`${base}${new URL(issuer!).pathname}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials' }),
    })
    t.is(response.status, 200)
    return ((await response.json()) as { access_token: string }).access_token
  }
  const first = await tokenFor()
  t.is(decodeProtectedHeader(first).alg, 'EdDSA')
  t.is(await stage.status('GET', '/api/v1/clients', first), 200)
  const metadata = (await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()) as Record<string, unknown>
  t.like(metadata, {
    issuer,
    id_token_signing_alg_values_supported: ['EdDSA'],
    code_challenge_methods_supported: ['S256'],
  })

  // A process with the new setting replaces the key; the one with the old setting follows the table.
  await stage.sql.query('UPDATE auth_signing_keys SET signs_at = signs_at - INTERVAL 40 DAY')
  const other = await stage.another({ SIGNING_ALGORITHM: 'ES256' })
  const rotated = await fetch(`${other.url}/events/auth`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${await stage.identity.serviceToken()}`,
      'content-type': 'application/json',
      'ce-id': `ping-${clientId}`,
      'ce-source': '/pings',
      'ce-specversion': '1.0',
      'ce-type': 'dev.knative.sources.ping',
    },
    body: JSON.stringify({ function: 'auth', task: 'maintain-keys' }),
  })
  t.is(rotated.status, 204)
  let second = await tokenFor(other.url)
  const untilMs = performance.now() + 30_000
  while (decodeProtectedHeader(second).alg === 'EdDSA' && performance.now() < untilMs) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    second = await tokenFor(other.url)
  }
  t.is(decodeProtectedHeader(second).alg, 'ES256')
  for (const address of [`${stage.url}/.well-known/jwks.json`, `${other.url}${new URL(issuer!).pathname}/jwks`]) {
    const keys = createRemoteJWKSet(new URL(address))
    for (const token of [first, second]) await jwtVerify(token, keys, { issuer: stage.url, audience: 'stampede' })
  }
})
