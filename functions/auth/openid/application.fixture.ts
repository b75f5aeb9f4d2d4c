/** An application and a person who signs in to it, by a client library that is not ours. */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import * as openid from 'openid-client'
import type { Stage } from '../testing.ts'
import { createBrowser } from './browser.fixture.ts'
import { apiResource } from './metadata.ts'

/** An application: only its back channel is a real address. */
async function startApplication() {
  const logouts: string[] = []
  const answers = { status: 200 }
  const server = http.createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      logouts.push(new URLSearchParams(body).get('logout_token') ?? '')
      response.writeHead(answers.status).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    logouts,
    answers,
    redirectUri: `${origin}/callback`,
    signedOutUri: `${origin}/signed-out`,
    backchannelUri: `${origin}/logout`,
    stop: () => new Promise((resolve) => server.close(resolve)),
  }
}

/** A tenant with an application, somebody who may sign in to it, and staff. */
export async function signUp(stage: Stage, kind: 'web' | 'browser' = 'web') {
  const application = await startApplication()
  const tenant = stage.tenant()
  const person = await tenant.registered()
  const keeper = await tenant.registered()
  stage.permission.roles.set(keeper.tokens.userId, ['administrator'])
  const session = await tenant.inTenant('sessions', { contact: keeper.contact, password: keeper.password })
  const call = (method: string, path: string, body?: unknown) =>
    stage.call(method, path, session.body['accessToken'], body)
  const made = await call('POST', '/api/v1/clients', {
    name: 'Shop & Co',
    kind,
    redirectUris: [application.redirectUri],
    postLogoutRedirectUris: [application.signedOutUri],
    backchannelLogoutUri: application.backchannelUri,
  })
  if (made.status !== 201) throw new Error(JSON.stringify(made))
  const { clientId, clientSecret, issuer } = made.body as {
    clientId: string
    clientSecret: string | null
    issuer: string
  }
  const config = await openid.discovery(
    new URL(issuer),
    clientId,
    {},
    clientSecret === null ? openid.None() : openid.ClientSecretBasic(clientSecret),
    { execute: [openid.allowInsecureRequests] },
  )
  return { application, tenant, person, keeper, call, config, clientId, clientSecret, issuer }
}

export type SignedUp = Awaited<ReturnType<typeof signUp>>

/** By the pages, as a person does it. */
export async function logIn(
  { application, config, person }: SignedUp,
  browser = createBrowser(),
  scope = 'openid email offline_access api',
) {
  const verifier = openid.randomPKCECodeVerifier()
  const state = openid.randomState()
  const nonce = openid.randomNonce()
  const url = openid.buildAuthorizationUrl(config, {
    redirect_uri: application.redirectUri,
    scope,
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    prompt: 'consent',
    resource: apiResource,
  })
  const login = await browser.open(url.href, application.redirectUri)
  const typed = { contact: person.contact.value, password: person.password }
  const consent = login.html.includes('value="password"')
    ? await browser.submit(login, 'password', typed, application.redirectUri)
    : login
  const back = await browser.submit(consent, 'allow', {}, application.redirectUri)
  const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true }
  const tokens = await openid.authorizationCodeGrant(config, new URL(back.url), checks)
  return { browser, login, consent, back, tokens, checks }
}
