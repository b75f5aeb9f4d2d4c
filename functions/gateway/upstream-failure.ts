/** What is answered when an upstream gave no answer. */
import { Problem } from '@stampede/shared/http/problem.ts'

export const codeOf = (error: Error & { code?: string }): string | undefined => error.code

/** `notSent`: nothing of the request has reached it. */
export function failureProblem(error: Error, notSent: boolean): Problem {
  const code = codeOf(error)
  if (notSent) {
    return new Problem('dependency-unavailable', 'The service behind this address cannot be reached.', {
      cause: error,
      retryAfterSeconds: 1,
    })
  }
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return new Problem('gateway-timeout', 'The service behind this address did not answer in time.', { cause: error })
  }
  return new Problem('bad-gateway', 'The service behind this address broke off.', { cause: error })
}
