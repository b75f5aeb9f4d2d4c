/**
 * Verifies the tokens that an official Knative broker sends with its deliveries (feature `authentication-oidc`): tokens of
 * Kubernetes service accounts, made for one audience, which is what the Trigger's subscriber says. The subject names the Trigger,
 * for example `system:serviceaccount:stampede:order-oidc-eventing.knative.dev-trigger`.
 */
import { decodeJwt, errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from 'jose'
import { LRUCache } from 'lru-cache'
import { Problem } from '../http/problem.ts'

export type EventTokenVerifier = {
  /**
   * The subject of a token for one of these audiences. Throws Problem `unauthenticated` (not a token of this issuer for this
   * audience), `forbidden` (of a subject that may not send events here) or `dependency-unavailable` (no keys to check it with).
   */
  verify(token: string, audiences: readonly string[]): Promise<string>
}

export type EventTokenVerifierOptions = {
  issuer: string
  keys: JWTVerifyGetKey
  /** Allowed subjects; `*` stands for anything but a colon. */
  subjects: readonly string[]
  now?: () => number
  /** Verified tokens kept in memory; default 1,000. */
  cacheSize?: number
}

/** What Kubernetes signs service account tokens with. */
const algorithms = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512']
const maximumTokenLength = 8_192
/** How long a verified token is believed without looking at the keys again, so that a withdrawn key takes effect. */
const believeMs = 300_000
/** Clocks of the API server's machine and of this one differ a little. */
const clockToleranceSeconds = 5

export function createEventTokenVerifier(options: EventTokenVerifierOptions): EventTokenVerifier {
  const { issuer, keys, now = Date.now } = options
  const isAllowed = subjectMatcher(options.subjects)
  const verified = new LRUCache<string, { payload: JWTPayload; validUntilMs: number }>({
    max: options.cacheSize ?? 1_000,
  })

  const payloadOf = async (token: string): Promise<JWTPayload> => {
    const known = verified.get(token)
    if (known && now() < known.validUntilMs) return known.payload
    if (token.length > maximumTokenLength) throw refused()
    try {
      // Who did not make the token for this cluster is told apart before keys are fetched for it.
      if (decodeJwt(token).iss !== issuer) throw refused()
      const { payload } = await jwtVerify(token, keys, {
        algorithms,
        issuer,
        requiredClaims: ['exp', 'sub', 'aud'],
        currentDate: new Date(now()),
        clockTolerance: clockToleranceSeconds,
      })
      verified.set(token, { payload, validUntilMs: Math.min(payload.exp! * 1_000, now() + believeMs) })
      return payload
    } catch (error) {
      throw asProblem(error)
    }
  }

  return {
    async verify(token, audiences) {
      const { aud, sub } = await payloadOf(token)
      const given = Array.isArray(aud) ? aud : [aud]
      if (!given.some((audience) => audiences.includes(audience ?? ''))) throw refused()
      if (sub === undefined || !isAllowed(sub))
        throw new Problem('forbidden', 'Events are not taken from the service account of this token.')
      return sub
    },
  }
}

const refused = (cause?: unknown) => new Problem('unauthenticated', 'The token is not valid.', { cause })

/**
 * Of jose's errors these say that the token is wrong; every other one that there was nothing to check it with, a key that is not known
 * among them: it may be a new one that the issuer has not shown yet, and a broker does not repeat what was answered with 401.
 */
const tokenErrors: readonly (new (...parameters: never[]) => Error)[] = [
  errors.JWTInvalid,
  errors.JWTClaimValidationFailed,
  errors.JWSInvalid,
  errors.JWSSignatureVerificationFailed,
  errors.JOSEAlgNotAllowed,
  errors.JOSENotSupported,
]

function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof errors.JWTExpired)
    return new Problem('unauthenticated', 'The token has expired.', { cause: error })
  if (tokenErrors.some((kind) => error instanceof kind)) return refused(error)
  return new Problem('dependency-unavailable', 'The key for checking the token cannot be had at the moment.', {
    cause: error,
    retryAfterSeconds: 1,
  })
}

function subjectMatcher(patterns: readonly string[]): (subject: string) => boolean {
  const expressions = patterns.map((pattern) => {
    const parts = pattern.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`))
    return new RegExp(`^${parts.join('[^:]*')}$`)
  })
  return (subject) => expressions.some((expression) => expression.test(subject))
}
