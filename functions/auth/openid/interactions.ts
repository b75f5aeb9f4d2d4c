/** The pages between "sign in with …" and the way back: who it is, and whether they allow it. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Provider } from 'oidc-provider'
import { accountSignedIn } from '@stampede/eventing/catalogue/identity-events.ts'
import { readBody } from '@stampede/shared/http/body.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { parseContact } from '@stampede/shared/personal-data/contact.ts'
import { requestCode } from '../codes.ts'
import { indexContact, type IndexedContact } from '../contact.ts'
import type { AuthContext } from '../context.ts'
import { isSameText, newId } from '../ids.ts'
import { insertSession } from '../session-store.ts'
import { identifyPerson } from '../sign-in.ts'
import { apiResource } from './metadata.ts'
import { consentPage, errorPage, loginPage, sendPage, type Asking, type Page } from './pages.ts'

export type InteractionOptions = { auth: AuthContext; provider: Provider; tenantId: string; issuer: string }
export type Caller = { address: string | undefined; userAgent: string; locale: string }

type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>
type LoginState = Parameters<typeof loginPage>[1]

const bodyLimitBytes = 8_192

/** Answers `GET` and `POST` of `<issuer>/interaction/<uid>`. Throws Problems, which the caller shows as a page. */
export async function answerInteraction(
  options: InteractionOptions,
  request: IncomingMessage,
  response: ServerResponse,
  caller: Caller,
): Promise<void> {
  const { provider } = options
  const interaction = await provider.interactionDetails(request, response).catch((error: unknown) => {
    throw new Problem('invalid-request', 'This page has expired, or cookies are turned off.', { cause: error })
  })
  const asking = await askingOf(options, interaction)
  if (request.method === 'GET' || request.method === 'HEAD') {
    show(response, 200, interaction.prompt.name === 'login' ? loginPage(asking) : consentOf(interaction, asking))
    return
  }
  if (request.method !== 'POST') throw new Problem('method-not-allowed', 'This page takes forms only.')
  const form = await formOf(request, options.issuer, tokensOf(options, interaction))
  const action = form.get('do')
  if (action === 'cancel') {
    const result = { error: 'access_denied', error_description: 'The person cancelled.' }
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false })
  } else if (interaction.prompt.name === 'login') {
    const outcome = await logIn(options, form, caller)
    if ('userId' in outcome) {
      const login = { accountId: outcome.userId, remember: true, amr: [outcome.by] }
      await provider.interactionFinished(request, response, { login }, { mergeWithLastSubmission: false })
    } else show(response, outcome.status, loginPage(asking, outcome.state))
  } else if (action === 'allow') {
    const grantId = await allow(options, interaction, caller)
    const result = { consent: { grantId } }
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true })
  } else throw new Problem('invalid-request', 'The form is not complete.')
}

export function show(response: ServerResponse, status: number, page: Page): void {
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, { ...sendPage(page), 'content-length': Buffer.byteLength(page.html) }).end(page.html)
}

export const showProblem = (response: ServerResponse, problem: Problem): void =>
  show(response, problem.status, errorPage(problem.detail))

async function askingOf(
  { auth, provider, tenantId, issuer }: InteractionOptions,
  interaction: Interaction,
): Promise<Asking> {
  const client = await provider.Client.find(String(interaction.params['client_id']))
  return {
    action: `${new URL(issuer).pathname}/interaction/${interaction.uid}`,
    // Whoever has not read this page of this person cannot know it.
    token: tokensOf({ auth, tenantId }, interaction)[0],
    clientName: client?.clientName ?? 'the application',
    redirectUri: interaction.params['redirect_uri'] as string | undefined,
  }
}

/** One for each index key: a page that was opened before a rotation can be sent after it. */
const tokensOf = ({ auth, tenantId }: Pick<InteractionOptions, 'auth' | 'tenantId'>, interaction: Interaction) =>
  auth.index.all('form', tenantId, interaction.jti)

/** The form of this very page. Throws Problem `forbidden` for one that another site sent. */
async function formOf(request: IncomingMessage, issuer: string, tokens: readonly string[]): Promise<URLSearchParams> {
  const { origin } = request.headers
  // Without a referrer, as our pages ask for, browsers send `null`.
  if (origin !== undefined && origin !== 'null' && origin !== new URL(issuer).origin)
    throw new Problem('forbidden', 'The form was sent by another site.')
  const bytes = await readBody(request, request.headers, { limitBytes: bodyLimitBytes, timeoutMs: 10_000 })
  const form = new URLSearchParams(Buffer.from(bytes).toString())
  const given = form.get('token') ?? ''
  if (!tokens.some((token) => isSameText(token, given)))
    throw new Problem('forbidden', 'The form does not belong to this page.')
  return form
}

type LoginOutcome = { userId: string; by: 'pwd' | 'otp' } | { status: number; state: NonNullable<LoginState> }

async function logIn(
  { auth, tenantId }: InteractionOptions,
  form: URLSearchParams,
  caller: Caller,
): Promise<LoginOutcome> {
  const typed = (form.get('contact') ?? '').slice(0, 320)
  const action = form.get('do')
  const failed = (status: number, text: string): LoginOutcome => ({
    status,
    state: { contact: typed, message: { text, bad: true }, codeSent: action === 'code' },
  })
  const parsed = parseContact(typed)
  if (!parsed) return failed(422, 'That is neither an e-mail address nor a telephone number with its country (+49 …).')
  const contact: IndexedContact = indexContact(auth.index, tenantId, parsed)
  try {
    if (action === 'send-code') {
      await requestCode(auth, tenantId, { contact, purpose: 'login', address: caller.address, locale: caller.locale })
      const message = { text: 'If there is an account, a code is on its way.', bad: false }
      return { status: 200, state: { contact: typed, message, codeSent: true } }
    }
    const code = action === 'code' ? (form.get('code') ?? '').replaceAll(/\s/g, '') : undefined
    const password = action === 'password' ? (form.get('password') ?? '').slice(0, 200) : undefined
    if (code === undefined && password === undefined) throw new Problem('invalid-request', 'The form is not complete.')
    const signal = AbortSignal.timeout(10_000)
    const userId = await identifyPerson(auth, tenantId, { contact, password, code, address: caller.address, signal })
    await auth.gate.mayIssue(tenantId, userId)
    return { userId, by: code === undefined ? 'pwd' : 'otp' }
  } catch (error) {
    if (error instanceof Problem && error.status < 500) return failed(error.status, error.detail)
    if (error instanceof Problem) return failed(error.status, 'That does not work at the moment. Try again.')
    throw error
  }
}

type ConsentDetails = {
  missingOIDCScope?: string[]
  missingOIDCClaims?: string[]
  missingResourceScopes?: Record<string, string[]>
}

function consentOf({ prompt }: Interaction, asking: Asking): Page {
  const { missingOIDCScope = [], missingResourceScopes = {} } = prompt.details as ConsentDetails
  return consentPage(asking, [...missingOIDCScope, ...Object.values(missingResourceScopes).flat()])
}

/** A grant is a session of the application: its id is what tokens carry as `sid`. */
async function allow({ auth, provider, tenantId }: InteractionOptions, interaction: Interaction, caller: Caller) {
  const { params, prompt, session } = interaction
  const userId = session?.accountId
  if (userId === undefined) throw new Problem('invalid-request', 'Nobody is signed in.')
  const clientId = String(params['client_id'])
  const known = interaction.grantId === undefined ? undefined : await provider.Grant.find(interaction.grantId)
  const sessionId = known ? interaction.grantId! : newId('s')
  const grant = known ?? new provider.Grant({ accountId: userId, clientId, jti: sessionId } as never)
  const details = prompt.details as ConsentDetails
  if (details.missingOIDCScope) grant.addOIDCScope(details.missingOIDCScope.join(' '))
  if (details.missingOIDCClaims) grant.addOIDCClaims(details.missingOIDCClaims)
  for (const [resource, scopes] of Object.entries(details.missingResourceScopes ?? {}))
    if (resource === apiResource) grant.addResourceScope(resource, scopes.join(' '))
  if (!known)
    // The session first: a token must never have a `sid` that cannot be ended.
    await auth.events.change(tenantId, userId, async ({ tx, tenant, outbox }) => {
      const at = new Date(auth.now())
      const expiresAt = new Date(at.getTime() + auth.limits.sessionTtlMs)
      await insertSession(tenant, {
        sessionId,
        userId,
        clientId,
        userAgent: caller.userAgent.slice(0, 200),
        at,
        expiresAt,
      })
      await outbox.add(tx, [
        { definition: accountSignedIn, subject: userId, data: { tenantId, userId, sessionId, at: at.toISOString() } },
      ])
    })
  return grant.save()
}
