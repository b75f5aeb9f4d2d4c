/**
 * Expected failures of an HTTP call, as RFC 9457 problem documents.
 * A `Problem` is thrown (or returned) by domain code; the function host turns it into
 * `application/problem+json`. Anything else that is thrown becomes `internal`, with its message hidden.
 */

/** Every problem code with its HTTP status and title. One table, so that one word means one thing everywhere. */
export const problemCodes = {
  'invalid-request': { status: 400, title: 'The request is not valid' },
  unauthenticated: { status: 401, title: 'A valid token is required' },
  forbidden: { status: 403, title: 'Not allowed' },
  'tenant-suspended': { status: 403, title: 'The tenant is not active' },
  'not-found': { status: 404, title: 'Not found' },
  'method-not-allowed': { status: 405, title: 'Method not allowed' },
  'request-timeout': { status: 408, title: 'The request did not arrive in time' },
  conflict: { status: 409, title: 'Conflicts with the current state' },
  duplicate: { status: 409, title: 'You already have an order in this activity' },
  'sold-out': { status: 410, title: 'Sold out' },
  ended: { status: 410, title: 'The activity has ended' },
  'payload-too-large': { status: 413, title: 'The request body is too large' },
  'unsupported-media-type': { status: 415, title: 'The media type is not supported' },
  'over-limit': { status: 422, title: 'More than the limit for each buyer' },
  unprocessable: { status: 422, title: 'The request cannot be carried out' },
  paused: { status: 423, title: 'The activity is paused' },
  'not-started': { status: 425, title: 'The activity has not started yet' },
  'rate-limited': { status: 429, title: 'Too many requests' },
  /** A limit of the tenant, not of the caller: it does not help to slow down. */
  'quota-exceeded': { status: 429, title: 'A quota of the tenant is used up' },
  'headers-too-large': { status: 431, title: 'The headers of the request are too large' },
  internal: { status: 500, title: 'Something went wrong on our side' },
  'bad-gateway': { status: 502, title: 'The service behind this address failed' },
  overloaded: { status: 503, title: 'Too busy at the moment' },
  recovering: { status: 503, title: 'The sale is recovering from a failure' },
  'dependency-unavailable': { status: 503, title: 'A service that is needed does not answer' },
  'gateway-timeout': { status: 504, title: 'The service behind this address did not answer in time' },
} as const

export type ProblemCode = keyof typeof problemCodes

/** One finding about the input: a JSON pointer (RFC 6901) into the body, query or parameters, and what is wrong there. */
export type InputError = { pointer: string; detail: string }

export type ProblemOptions = {
  cause?: unknown
  /** May the same request succeed when it is sent again? Default: true for 429 and 503. */
  retryable?: boolean
  /** Seconds until a retry makes sense; sent as `Retry-After`. */
  retryAfterSeconds?: number
  /** More members for the problem document, for example `{ orderNumber }`. Never secrets. */
  extensions?: Record<string, unknown>
  errors?: InputError[]
}

export class Problem extends Error {
  override readonly name = 'Problem'
  readonly problem: ProblemCode
  readonly status: number
  readonly title: string
  readonly detail: string
  readonly retryable: boolean
  readonly retryAfterSeconds: number | undefined
  readonly extensions: Record<string, unknown>
  readonly errors: InputError[] | undefined

  constructor(problem: ProblemCode, detail: string, options: ProblemOptions = {}) {
    super(detail, { cause: options.cause })
    const { status, title } = problemCodes[problem]
    this.problem = problem
    this.status = status
    this.title = title
    this.detail = detail
    this.retryable = options.retryable ?? (status === 429 || status === 503)
    this.retryAfterSeconds = options.retryAfterSeconds
    this.extensions = options.extensions ?? {}
    this.errors = options.errors
  }

  /** The problem document; `type` is a stable URN made from the code. */
  toDocument(): Record<string, unknown> {
    return {
      type: `urn:stampede:problem:${this.problem}`,
      title: this.title,
      status: this.status,
      detail: this.detail,
      code: this.problem,
      ...(this.errors ? { errors: this.errors } : {}),
      ...this.extensions,
    }
  }
}
