import test from 'ava'
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose'
import * as openid from 'openid-client'
import { z } from 'zod'
import { defineFunction, route } from '@stampede/shared/function/declaration.ts'
import { serve } from '@stampede/shared/function/serve.ts'
import { startStage } from '../testing.ts'
import { logIn, signUp, type SignedUp } from './application.fixture.ts'
import { createBrowser } from './browser.fixture.ts'
import { apiResource } from './metadata.ts'
import { alarmKeys } from '@stampede/shared/alarms/alarm.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { ownAlarms } from '@stampede/shared/testing/alarms.ts'

const stage = await startStage({ LOGOUT_TO_PRIVATE_ADDRESSES: 'allowed' })

const applications: SignedUp['application'][] = []
const signedUp = async (kind?: 'web' | 'browser') => {
  const everything = await signUp(stage, kind)
  applications.push(everything.application)
  return everything
}

const until = async (enough: () => boolean) => {
  const limitMs = performance.now() + 10_000
  while (!enough()) {
    if (performance.now() > limitMs) throw new Error('not within 10 s')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Another function, which knows of auth only its JWKS. */
const another = await serve(
  [
    defineFunction({
      name: 'other',
      summary: 'Tells who is calling.',
      config: z.object({}),
      connect: () => ({}),
      routes: [route('GET', '/who', { auth: 'user', summary: 'Who is calling.' }, ({ principal }) => principal)],
    }),
  ],
  {
    port: 0,
    host: '127.0.0.1',
    environment: { ...stage.environment, AUTH_JWKS_URL: `${stage.url}/.well-known/jwks.json` },
  },
)
/** Those of this file's tests; who looks for alarms runs alone. */
async function forgetAlarms(): Promise<void> {
  const redis = connectRedis(stage.redisUrl)
  await redis.del(alarmKeys.due)
  redis.disconnect()
}

test.after.always(async () => {
  await another.stop()
  for (const one of applications) await one.stop()
  await stage.stop()
})
const who = async (token: string) => {
  const response = await fetch(`${another.url}/who`, { headers: { authorization: `Bearer ${token}` } })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

test('OpenID Connect – code with PKCE, userinfo, refresh, introspection, revocation, and tokens that functions accept', async (t) => {
  const everything = await signedUp()
  const { config, person, tenant, clientId } = everything
  stage.permission.roles.set(person.tokens.userId, ['operator'])
  const { tokens, consent } = await logIn(everything)
  t.regex(consent.html, /Shop &amp; Co/)
  t.like(tokens.claims(), { iss: everything.issuer, aud: clientId, sub: person.tokens.userId })
  const info = await openid.fetchUserInfo(config, tokens.access_token, person.tokens.userId)
  t.like(info, {
    sub: person.tokens.userId,
    tenant: tenant.tenantId,
    email: person.contact.value,
    email_verified: true,
  })
  t.is((await who(tokens.access_token)).status, 401, 'a token for userinfo is for nothing else')

  const refreshed = await openid.refreshTokenGrant(config, tokens.refresh_token!, { resource: apiResource })
  const { status, body } = await who(refreshed.access_token)
  t.is(status, 200)
  t.like(body, { kind: 'staff', tenantId: tenant.tenantId, userId: person.tokens.userId, roles: ['operator'] })
  const claims = decodeJwt(refreshed.access_token)
  t.is(body['sessionId'], claims['sid'])
  t.not(refreshed.refresh_token, tokens.refresh_token)
  const listed = await stage.call('GET', '/api/v1/sessions', refreshed.access_token)
  t.like(
    listed.body['sessions'].find((one: { current: boolean }) => one.current),
    { clientId, sessionId: claims['sid'] },
  )

  t.like(await openid.tokenIntrospection(config, refreshed.refresh_token!), {
    active: true,
    sub: person.tokens.userId,
    client_id: clientId,
  })
  await openid.tokenRevocation(config, refreshed.refresh_token!)
  t.like(await openid.tokenIntrospection(config, refreshed.refresh_token!), { active: false })
  await t.throwsAsync(openid.refreshTokenGrant(config, refreshed.refresh_token!), { message: /invalid_grant|error/i })
})

test('OpenID Connect – without PKCE, with another redirect address or a wrong secret there is nothing', async (t) => {
  const everything = await signedUp()
  const { application, config, clientId, issuer } = everything
  const browser = createBrowser()
  const parameters = { redirect_uri: application.redirectUri, scope: 'openid', state: 's' }
  const noPkce = await browser.open(openid.buildAuthorizationUrl(config, parameters).href, application.redirectUri)
  t.is(new URL(noPkce.url).searchParams.get('error'), 'invalid_request')
  for (const redirect of [
    `${application.redirectUri}/`,
    `${application.redirectUri}?x=1`,
    'https://evil.example/callback',
  ]) {
    const elsewhere = await browser.open(
      openid.buildAuthorizationUrl(config, {
        ...parameters,
        redirect_uri: redirect,
        code_challenge: 'x'.repeat(43),
        code_challenge_method: 'S256',
      }).href,
      'https://evil.example',
    )
    t.is(elsewhere.status, 400, redirect)
    t.regex(elsewhere.html, /That did not work/)
    t.regex(elsewhere.headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/)
  }
  const wrong = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${clientId}:wrong`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'x' }),
  })
  t.is(wrong.status, 401)
})

test('OpenID Connect – a code or refresh token that is used twice ends everything that came of it', async (t) => {
  const everything = await signedUp()
  const { config, tenant } = everything
  const { tokens, back, checks } = await logIn(everything)
  await t.throwsAsync(openid.authorizationCodeGrant(config, new URL(back.url), checks))
  await t.throwsAsync(openid.refreshTokenGrant(config, tokens.refresh_token!))

  const second = await logIn(everything)
  const attempts = await Promise.allSettled([
    openid.refreshTokenGrant(config, second.tokens.refresh_token!, { resource: apiResource }),
    openid.refreshTokenGrant(config, second.tokens.refresh_token!, { resource: apiResource }),
  ])
  t.true(attempts.filter(({ status }) => status === 'fulfilled').length <= 1)
  for (const attempt of attempts) {
    if (attempt.status === 'fulfilled')
      await t.throwsAsync(openid.refreshTokenGrant(config, attempt.value.refresh_token!))
  }
  await tenant.said()
  const revoked = stage.published(tenant.tenantId, 'io.stampede.session.revoked.v1')
  t.deepEqual(
    revoked.map(({ data }) => data['reason']),
    ['refresh-token-reused', 'refresh-token-reused'],
  )
})

test.serial(
  'OpenID Connect – signing out by the application ends the session, and its back channel is told until it answers',
  async (t) => {
    const everything = await signedUp()
    const { application, config, issuer, clientId, person, tenant } = everything
    const { tokens, browser } = await logIn(everything, createBrowser(), 'openid api')
    application.answers.status = 500
    const url = openid.buildEndSessionUrl(config, {
      id_token_hint: tokens.id_token!,
      post_logout_redirect_uri: application.signedOutUri,
      state: 'bye',
    })
    const question = await browser.open(url.href, application.signedOutUri)
    t.regex(question.html, /Sign out\?/)
    t.regex(
      question.headers.get('content-security-policy') ?? '',
      new RegExp(`form-action 'self' ${new URL(application.signedOutUri).origin}`),
    )
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(question.html)?.[1] ?? ''
    const action = /id="op.logoutForm" method="post" action="([^"]+)"/.exec(question.html)?.[1] ?? ''
    await forgetAlarms()
    const back = await browser.open(action, application.signedOutUri, { xsrf, logout: 'yes' })
    t.is(back.url, `${application.signedOutUri}?state=bye`)

    await until(() => application.logouts.length > 0)
    // A process that died now would not leave them untold.
    t.true((await ownAlarms('auth/tell-logouts', () => true, stage.redisUrl)).length > 0)
    // It answered 500: the next attempt is made when its time has come.
    application.answers.status = 200
    await stage.sql.query('UPDATE auth_logout_notices SET next_attempt_at = UTC_TIMESTAMP(3) WHERE tenant_id = ?', [
      tenant.tenantId,
    ])
    t.is(await stage.tick('tell-logouts'), 204)
    t.true(application.logouts.length > 1)
    const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`))
    const { payload, protectedHeader } = await jwtVerify(application.logouts.at(-1)!, keys, {
      issuer,
      audience: clientId,
    })
    t.is(protectedHeader.typ, 'logout+jwt')
    t.like(payload, {
      sub: person.tokens.userId,
      sid: tokens.claims()?.['sid'],
      events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
    })
    t.is(payload['nonce'], undefined)
    const [rows] = await stage.sql.query('SELECT * FROM auth_logout_notices WHERE tenant_id = ?', [tenant.tenantId])
    t.deepEqual(rows, [])
    const again = await browser.open(
      openid.buildAuthorizationUrl(config, {
        redirect_uri: application.redirectUri,
        scope: 'openid',
        code_challenge: 'x'.repeat(43),
        code_challenge_method: 'S256',
      }).href,
      application.redirectUri,
    )
    t.regex(again.html, /name="password"/, 'the browser is signed out')
  },
)

test.serial('OpenID Connect – a session that is ended here ends for the application, which is told', async (t) => {
  const everything = await signedUp()
  const { application, config, person } = everything
  const { tokens } = await logIn(everything)
  const api = await openid.refreshTokenGrant(config, tokens.refresh_token!, { resource: apiResource })
  const { sid } = decodeJwt(api.access_token) as { sid: string }
  await forgetAlarms()
  t.is(await stage.status('DELETE', `/api/v1/sessions/${sid}`, person.tokens['accessToken']), 204)
  t.is((await ownAlarms('auth/tell-logouts', () => true, stage.redisUrl)).length, 1)
  await t.throwsAsync(openid.refreshTokenGrant(config, api.refresh_token!))
  await until(() => application.logouts.length > 0)
  t.is(decodeJwt(application.logouts.at(-1)!)['sid'], tokens.claims()?.['sid'])
})

test('OpenID Connect – a service calls as itself, with the roles it was given', async (t) => {
  const { call, issuer, tenant } = await signedUp()
  const made = await call('POST', '/api/v1/clients', { name: 'Reports', kind: 'service' })
  t.is(made.status, 201)
  const { clientId, clientSecret } = made.body as { clientId: string; clientSecret: string }
  const config = await openid.discovery(new URL(issuer), clientId, {}, openid.ClientSecretBasic(clientSecret), {
    execute: [openid.allowInsecureRequests],
  })
  const plain = await openid.clientCredentialsGrant(config)
  t.like((await who(plain.access_token)).body, { kind: 'user', userId: clientId, roles: [], tenantId: tenant.tenantId })
  stage.permission.roles.set(clientId, ['auditor'])
  const withRole = await openid.clientCredentialsGrant(config, { resource: apiResource, scope: 'api' })
  t.like((await who(withRole.access_token)).body, { kind: 'staff', userId: clientId, roles: ['auditor'] })
  t.like(
    (await call('GET', '/api/v1/clients')).body['clients'].find((one: { kind: string }) => one.kind === 'service'),
    { clientId },
  )
  t.is(
    (await call('GET', '/api/v1/clients')).body['clients'].some((one: object) => 'clientSecret' in one),
    false,
  )

  stage.permission.down.add(tenant.tenantId)
  try {
    const response = await fetch(`${issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials' }),
    })
    t.is(response.status, 503)
    t.like(await response.json(), { error: 'temporarily_unavailable' })
  } finally {
    stage.permission.down.delete(tenant.tenantId)
  }
})

test('OpenID Connect – forms of other sites and of other pages are refused', async (t) => {
  const everything = await signedUp('browser')
  const { application, config, person, issuer } = everything
  const browser = createBrowser()
  const url = openid.buildAuthorizationUrl(config, {
    redirect_uri: application.redirectUri,
    scope: 'openid',
    code_challenge: 'x'.repeat(43),
    code_challenge_method: 'S256',
  })
  const page = await browser.open(url.href, application.redirectUri)
  const typed = { contact: person.contact.value, password: person.password }
  t.is((await browser.submit(page, 'password', { ...typed, token: 'forged' }, application.redirectUri)).status, 403)
  t.is((await browser.submit(page, 'password', { ...typed, password: 'wrong' }, application.redirectUri)).status, 401)
  t.is((await createBrowser().open(page.url, issuer + '/nowhere')).status, 400, 'another browser has no such page')
  const cancelled = await browser.submit(page, 'cancel', {}, application.redirectUri)
  t.is(new URL(cancelled.url).searchParams.get('error'), 'access_denied')
})
