/**
 * Who is pressing: from a pass (synchronous, microseconds, no I/O) or from an access token (remembered tokens at once,
 * new ones in a moment). The raw headers are read in one pass, because making Node's header object costs more than the check.
 */
import type { IncomingMessage } from 'node:http'
import type { AccessChecker } from '@stampede/shared/access/types.ts'
import type { Principal } from '@stampede/shared/function/declaration.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { bearerTokenOf, type TokenVerifier } from '@stampede/shared/identity/access-token.ts'
import type { Passes } from '@stampede/shared/identity/pass.ts'
import { accessAnswers } from './access-answers.ts'
import { answers, problemAnswer, type Answer } from './answers.ts'

export type Credentials = {
  pass: string | undefined
  device: string
  authorization: string | undefined
  traceparent: string | undefined
  contentType: string | undefined
  contentLength: string | undefined
}

export type Buyer = { tenantId: string; userId: string }

/** The headers that matter, by length first: most headers are dismissed by one comparison. */
export function credentialsOf(request: IncomingMessage): Credentials {
  const raw = request.rawHeaders
  const found: Credentials = {
    pass: undefined,
    device: '',
    authorization: undefined,
    traceparent: undefined,
    contentType: undefined,
    contentLength: undefined,
  }
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index]!
    switch (name.length) {
      case 11:
        if (is(name, 'traceparent')) found.traceparent = raw[index + 1]
        break
      case 12:
        if (is(name, 'content-type')) found.contentType = raw[index + 1]
        break
      case 13:
        if (is(name, 'stampede-pass')) found.pass = raw[index + 1]
        else if (is(name, 'authorization')) found.authorization = raw[index + 1]
        break
      case 14:
        if (is(name, 'content-length')) found.contentLength = raw[index + 1]
        break
      case 15:
        if (is(name, 'stampede-device')) found.device = raw[index + 1]!
        break
    }
  }
  return found
}

const is = (name: string, wanted: string): boolean => name === wanted || name.toLowerCase() === wanted

/** Why a pass was refused: it is checked again without what it is bound to, to tell a stranger's pass from a false one. */
export function passRefusal(passes: Passes, pass: string, activityId: string): Answer {
  if (passes.verify(pass, activityId)) return answers.anotherDevice
  const claimed = pass.split('~', 4)[2]
  if (claimed !== undefined && claimed !== activityId && passes.verify(pass, claimed)) return answers.anotherActivity
  return answers.unauthenticated
}

/** The buyer of a verified token or pass, or the refusal. */
export function buyerOf(principal: Principal): Buyer | Answer {
  return principal.kind === 'service' ? answers.notAPerson : principal
}

/** The answer to a token that was not verified. */
export function tokenRefusal(error: unknown): Answer {
  if (error instanceof Problem && error.problem !== 'unauthenticated') {
    return problemAnswer(error.problem, error.detail, { retryAfterSeconds: error.retryAfterSeconds })
  }
  return answers.unauthenticated
}

export const isAnswer = (value: Buyer | Answer): value is Answer => 'reason' in value

/** The buyer by pass or token, for routes that are not in a hurry. */
export async function admit(
  credentials: Credentials,
  activityId: string,
  { passes, tokens, access }: { passes: Passes; tokens: TokenVerifier; access: AccessChecker },
): Promise<Buyer | Answer> {
  if (credentials.pass !== undefined) {
    const holder = passes.verify(credentials.pass, activityId, credentials.device)
    return holder ? admitPrincipal(holder, access) : passRefusal(passes, credentials.pass, activityId)
  }
  const token = bearerTokenOf(credentials.authorization)
  if (token === undefined) return answers.unauthenticated
  try {
    return await admitPrincipal(await tokens.verify(token), access)
  } catch (error) {
    return tokenRefusal(error)
  }
}

async function admitPrincipal(principal: Principal, access: AccessChecker): Promise<Buyer | Answer> {
  const buyer = buyerOf(principal)
  if (isAnswer(buyer)) return buyer
  const verdict = access.checkSync(principal) ?? (await access.check(principal))
  return verdict === 'allowed' ? buyer : accessAnswers[verdict]
}
