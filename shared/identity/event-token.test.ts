/** Event tokens against a real HTTPS server that shows keys as a cluster's API server does. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { SignJWT, UnsecuredJWT, generateKeyPair, type CryptoKey } from 'jose'
import { Problem } from '../http/problem.ts'
import { createTestCertificate } from '../testing/certificate.ts'
import { startTokenIssuer, testIssuer } from '../testing/token-issuer.ts'
import { createEventTokenVerifier, type EventTokenVerifierOptions } from './event-token.ts'
import { createRemoteKeys, type RemoteKeysOptions } from './fetch-keys.ts'

const subjects = ['system:serviceaccount:shop:*', 'system:serviceaccount:knative-eventing:*']
const audiences = ['stampede/probe']
const trigger = 'system:serviceaccount:shop:probe-oidc-eventing.knative.dev-trigger'

async function setUp(
  t: ExecutionContext,
  more: { keys?: Partial<RemoteKeysOptions>; verifier?: Partial<EventTokenVerifierOptions> } = {},
) {
  const issuer = await startTokenIssuer()
  t.teardown(issuer.stop)
  const keys = createRemoteKeys({
    url: issuer.url,
    caFile: join(issuer.folder, 'ca.crt'),
    tokenFile: join(issuer.folder, 'token'),
    ...more.keys,
  })
  const verifier = createEventTokenVerifier({ issuer: testIssuer, keys, subjects, ...more.verifier })
  /** The subject, or the code of the refusal. */
  const outcome = async (token: string, wanted: readonly string[] = audiences) =>
    verifier.verify(token, wanted).catch((error: unknown) => {
      if (error instanceof Problem) return error.problem
      throw error
    })
  return { ...issuer, outcome }
}

test('event token – of a service account for this audience is accepted; the keys are asked for once, with the own token', async (t) => {
  const { token, outcome, state, ownToken } = await setUp(t)
  const given = await token()
  t.deepEqual(await Promise.all([outcome(given), outcome(given), outcome(await token())]), [trigger, trigger, trigger])
  t.is(await outcome(await token({ audience: ['elsewhere', 'stampede/probe'] })), trigger)
  t.is(state.asked.length, 1)
  t.is(state.asked[0]!.authorization, `Bearer ${ownToken}`)
})

test('event token – every other one is refused', async (t) => {
  const { token, outcome } = await setUp(t)
  const valid = await token()
  const [head = '', payload = '', signature = ''] = valid.split('.')
  const stranger = await generateKeyPair('RS256')
  const claims = { iss: testIssuer, aud: 'stampede/probe', sub: trigger, exp: 4_102_444_800 }
  const signed = (header: { alg: string; kid?: string }, key: CryptoKey | Uint8Array) =>
    new SignJWT(claims).setProtectedHeader(header).sign(key)
  const tokens: Record<string, string> = {
    'other audience': await token({ audience: 'stampede/other' }),
    'audience of the API server': await token({ audience: testIssuer }),
    'other issuer': await token({ issuer: 'https://elsewhere.test' }),
    expired: await token({ expires: '1m ago' }),
    'not valid yet': await token({ notBefore: '10m' }),
    'signed by another': await signed({ alg: 'RS256', kid: 'key-1' }, stranger.privateKey),
    'payload replaced': `${head}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`,
    'signature cut off': `${head}.${payload}.`,
    'algorithm none': new UnsecuredJWT(claims).encode(),
    'public key as secret': await signed({ alg: 'HS256', kid: 'key-1' }, new TextEncoder().encode('x'.repeat(64))),
    'no audience': await token({ audience: [] }),
    'too long': `${valid}${'x'.repeat(9_000)}`,
    'not a token': 'abc.def.ghi',
    nothing: '',
  }
  for (const [reason, one] of Object.entries(tokens)) t.is(await outcome(one), 'unauthenticated', reason)
  t.is(await outcome(valid), trigger, 'the one that they were made from')
  t.is(await outcome(valid, ['stampede/other']), 'unauthenticated', 'a known token for another function')
})

test('event token – of a service account that may not deliver is forbidden', async (t) => {
  const { token, outcome } = await setUp(t)
  for (const subject of [
    'system:serviceaccount:elsewhere:trigger',
    'system:serviceaccount:shop-evil:trigger',
    'system:serviceaccount:shop:a:b',
    'system:serviceaccount:shop',
    'x-system:serviceaccount:shop:trigger',
    'system:node:shop',
    '',
  ])
    t.is(await outcome(await token({ subject })), 'forbidden', subject)
  t.is(
    await outcome(await token({ subject: 'system:serviceaccount:knative-eventing:pingsource-mt-adapter' })),
    'system:serviceaccount:knative-eventing:pingsource-mt-adapter',
  )
})

test('event token – a pattern without a star is one subject; dots are dots', async (t) => {
  const { token, outcome } = await setUp(t, { verifier: { subjects: ['system:serviceaccount:shop:a.b'] } })
  t.is(await outcome(await token({ subject: 'system:serviceaccount:shop:a.b' })), 'system:serviceaccount:shop:a.b')
  t.is(await outcome(await token({ subject: 'system:serviceaccount:shop:axb' })), 'forbidden')
})

test('event token – a new key of the issuer is fetched; one that it does not show yet is to be tried again', async (t) => {
  const { token, outcome, rotate, state } = await setUp(t, { keys: { cooldownMs: 0 } })
  t.is(await outcome(await token()), trigger)
  await rotate()
  t.is(await outcome(await token()), trigger)
  await rotate(false)
  t.is(await outcome(await token()), 'dependency-unavailable')
  t.is(state.asked.length, 3)
})

test('event token – unknown keys do not make it ask again and again', async (t) => {
  const { token, outcome, rotate, state } = await setUp(t)
  const old = await token()
  t.is(await outcome(old), trigger)
  await rotate(false)
  for (let attempt = 0; attempt < 5; attempt += 1) t.is(await outcome(await token()), 'dependency-unavailable')
  t.is(state.asked.length, 1)
  t.is(await outcome(old), trigger)
})

test('event token – is believed for its time only, and no longer than five minutes without the keys', async (t) => {
  const clock = { ms: Date.now() }
  const { token, outcome, rotate } = await setUp(t, {
    keys: { cooldownMs: 0, cacheMs: 0 },
    verifier: { now: () => clock.ms },
  })
  const short = await token({ expires: '2m' })
  const long = await token()
  t.deepEqual([await outcome(short), await outcome(long)], [trigger, trigger])
  clock.ms += 130_000
  t.is(await outcome(short), 'unauthenticated')
  await rotate()
  t.is(await outcome(long), trigger)
  clock.ms += 200_000
  t.is(await outcome(long), 'dependency-unavailable', 'its key was withdrawn')
})

test('event token – without keys nobody gets in: no answer, an error, rubbish, a server with another certificate', async (t) => {
  const { token, outcome, state, folder } = await setUp(t, { keys: { timeoutMs: 200 } })
  const given = await token()
  state.silent = true
  t.is(await outcome(given), 'dependency-unavailable')
  state.silent = false
  for (const [status, body] of [
    [403, '{"kind":"Status"}'],
    [302, ''],
    [200, '<html>'],
    [200, '{"keys":7}'],
    [200, '{"keys":[]}'],
    [200, `{"keys":[],"x":"${'x'.repeat(300_000)}"}`],
  ] as const) {
    Object.assign(state, { status, body })
    t.is(await outcome(given), 'dependency-unavailable', `${status} ${body.slice(0, 20)}`)
  }
  Object.assign(state, { status: 200, body: undefined })
  const file = join(folder, 'ca.crt')
  await writeFile(file, createTestCertificate().cert)
  const strict = await setUp(t, { keys: { caFile: file } })
  t.is(await strict.outcome(await strict.token()), 'dependency-unavailable')
  t.deepEqual(strict.state.asked, [], 'the token was not shown to a stranger')
})
