import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import { SignJWT, decodeJwt, exportJWK, generateKeyPair } from 'jose'
import { createTestIdentity } from '../testing/identity.ts'
import { bearerTokenOf, createTokenVerifier } from './access-token.ts'
import { createServiceTokens, serviceIssuer } from './service-token.ts'

const issuer = 'https://identity.example'
const audience = 'stampede'

for (const algorithm of ['ES256', 'EdDSA'] as const) {
  test(`access token – ${algorithm} is verified and tells who calls`, async (t) => {
    const identity = await createTestIdentity(algorithm)
    const verifier = createTokenVerifier({
      jwks: identity.jwks,
      issuer,
      audience,
      serviceSecret: identity.serviceSecret,
    })
    const person = { tenantId: 'shop', userId: 'u7', sessionId: 's1' }
    const user = await verifier.verify(await identity.token(person))
    t.like(user, { kind: 'user', ...person, roles: [] })
    t.true(user.issuedAtMs > Date.now() - 120_000 && user.issuedAtMs <= Date.now())
    t.like(await verifier.verify(await identity.token({ roles: ['support'] })), {
      kind: 'staff',
      roles: ['support'],
      sessionId: undefined,
    })
    t.like(await verifier.verify(await identity.serviceToken('shop')), {
      kind: 'service',
      tenantId: 'shop',
      userId: 'test',
      roles: ['service'],
    })
  })

  test(`access token – ${algorithm}: every kind of invalid token is refused, also a second time`, async (t) => {
    const identity = await createTestIdentity(algorithm)
    const verifier = createTokenVerifier({
      jwks: identity.jwks,
      issuer,
      audience,
      serviceSecret: identity.serviceSecret,
    })
    for (const [reason, token] of Object.entries(await identity.invalidTokens())) {
      await t.throwsAsync(verifier.verify(token), { name: 'Problem', message: /token/ }, reason)
      t.is(verifier.verifySync(token), undefined, reason)
      await t.throwsAsync(verifier.verify(token), { name: 'Problem' }, reason)
    }
    await t.throwsAsync(verifier.verify('x'.repeat(5_000)), { name: 'Problem' })
  })
}

test('access token – the role service in it does not make a service', async (t) => {
  const identity = await createTestIdentity()
  const verifier = createTokenVerifier({ jwks: identity.jwks, issuer, audience, serviceSecret: identity.serviceSecret })
  const principal = await verifier.verify(await identity.token({ roles: ['service', 'buyer'] }))
  t.deepEqual([principal.kind, principal.roles], ['staff', ['buyer']])
  t.like(await verifier.verify(await identity.token({ roles: ['service'] })), { kind: 'user', roles: [] })
})

test('access token – without tenant, subject or expiry, or with strange ones, is refused', async (t) => {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
  const verifier = createTokenVerifier({
    jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'a' }] },
    issuer,
    audience,
  })
  const good = { iss: issuer, aud: audience, sub: 'u1', tenant: 'acme', exp: Math.floor(Date.now() / 1_000) + 60 }
  const sign = async (claims: Record<string, unknown>) =>
    new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'a' }).sign(privateKey)
  t.is((await verifier.verify(await sign(good))).userId, 'u1')
  const bad: Record<string, unknown>[] = [
    { sub: undefined },
    { tenant: undefined },
    { exp: undefined },
    { sub: 'a b' },
    { tenant: '../x' },
    { tenant: '' },
    { roles: 'administrator' },
    { nbf: good.exp },
  ]
  for (const change of bad)
    await t.throwsAsync(
      verifier.verify(await sign({ ...good, ...change })),
      { name: 'Problem' },
      JSON.stringify(change),
    )
})

test('access token – a symmetric key in the key set is not used', async (t) => {
  const secret = Buffer.from('s'.repeat(32))
  const verifier = createTokenVerifier({
    jwks: { keys: [{ kty: 'oct', k: secret.toString('base64url'), kid: 'a' }] },
    issuer,
    audience,
  })
  const token = await new SignJWT({ tenant: 'acme', roles: [] })
    .setProtectedHeader({ alg: 'HS256', kid: 'a' })
    .setSubject('u1')
    .setIssuer(issuer)
    .setAudience(audience)
    .setExpirationTime('1m')
    .sign(secret)
  await t.throwsAsync(verifier.verify(token), { name: 'Problem' })
})

test('access token – the cache answers synchronously until the token expires', async (t) => {
  const identity = await createTestIdentity()
  let nowMs = Date.now()
  const verifier = createTokenVerifier({ jwks: identity.jwks, issuer, audience, now: () => nowMs })
  const token = await identity.token()
  t.is(verifier.verifySync(token), undefined)
  await verifier.verify(token)
  t.is(verifier.verifySync(token)?.userId, 'user-1')
  nowMs = decodeJwt(token).exp! * 1_000
  t.is(verifier.verifySync(token), undefined)
  await t.throwsAsync(verifier.verify(token), { message: 'The token has expired.' })
})

test('access token – keys come from an address; when it does not answer that is not the caller’s fault', async (t) => {
  const identity = await createTestIdentity()
  const server = createServer((_, response) => response.end(JSON.stringify(identity.jwks)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`
  const token = await identity.token()
  t.is((await createTokenVerifier({ jwksUrl, issuer, audience }).verify(token)).userId, 'user-1')
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  const error = await t.throwsAsync(createTokenVerifier({ jwksUrl, issuer, audience }).verify(token), {
    name: 'Problem',
  })
  t.is((error as unknown as { problem: string }).problem, 'dependency-unavailable')
})

test('access token – keys that are known and keys from an address count beside each other, and no third one', async (t) => {
  const [known, fetched, stranger] = await Promise.all([
    createTestIdentity('EdDSA'),
    createTestIdentity('ES256'),
    createTestIdentity('ES256'),
  ])
  let fetches = 0
  const server = createServer((_, response) => {
    fetches++
    response.end(JSON.stringify(fetched.jwks))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`
  const verifier = createTokenVerifier({ jwks: known.jwks, jwksUrl, issuer, audience })
  t.is((await verifier.verify(await known.token({ userId: 'one' }))).userId, 'one')
  t.is(fetches, 0)
  t.is((await verifier.verify(await fetched.token({ userId: 'two' }))).userId, 'two')
  t.is(fetches, 1)
  await t.throwsAsync(verifier.verify(await stranger.token()), { message: 'The token is not valid.' })
})

test('service token – is reused for a tenant and renewed before it expires', async (t) => {
  let nowMs = 1_800_000_000_000
  const tokens = createServiceTokens({ secret: 's'.repeat(32), service: 'order', now: () => nowMs })
  const first = await tokens('acme')
  t.is(await tokens('acme'), first)
  t.not(await tokens('other'), first)
  nowMs += 239_000
  t.is(await tokens('acme'), first)
  nowMs += 1_000
  const second = await tokens('acme')
  t.not(second, first)
  t.is(decodeJwt(second).exp, nowMs / 1_000 + 300)
})

test('service token – of another issuer or for another audience is refused, although the secret is right', async (t) => {
  const secret = 's'.repeat(32)
  const verifier = createTokenVerifier({ serviceSecret: secret })
  const sign = async (iss: string, aud: string) =>
    new SignJWT({ tenant: 'acme', roles: ['service'] })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject('order')
      .setIssuer(iss)
      .setAudience(aud)
      .setExpirationTime('1m')
      .sign(new TextEncoder().encode(secret))
  t.is((await verifier.verify(await sign(serviceIssuer, serviceIssuer))).kind, 'service')
  await t.throwsAsync(verifier.verify(await sign(issuer, serviceIssuer)), { name: 'Problem' })
  await t.throwsAsync(verifier.verify(await sign(serviceIssuer, audience)), { name: 'Problem' })
})

test('bearer token – is taken from the header in any case, and from nothing else', (t) => {
  t.is(bearerTokenOf('Bearer abc'), 'abc')
  t.is(bearerTokenOf('bearer  abc '), 'abc')
  for (const header of [undefined, '', 'Bearer', 'Bearer ', 'Basic abc', 'abc'])
    t.is(bearerTokenOf(header) || undefined, undefined)
})
