/**
 * Calls another function over HTTP: with a service token, a time limit, the trace of the caller, and answers that are
 * checked against a schema. Connections are kept alive by Node's fetch.
 */
import type { z } from 'zod'
import { createServiceTokens } from '../identity/service-token.ts'
import { traceparentOf } from '../telemetry/tracing.ts'
import { Problem, problemCodes } from './problem.ts'
import type { InputError, ProblemCode } from './problem.ts'

export type ServiceClient = {
  /**
   * Both throw the other function's own Problem when it refused (4xx), and Problem `dependency-unavailable` when it does not
   * answer in time, fails, refuses our token, or answers something that does not fit the schema.
   */
  get<S extends z.ZodType>(path: string, tenantId: string, schema: S): Promise<z.output<S>>
  post<S extends z.ZodType>(path: string, tenantId: string, body: unknown, schema: S): Promise<z.output<S>>
}

export type ServiceClientOptions = {
  baseUrl: string
  /** Name of the calling function. */
  service: string
  secret: string
  /** For the whole call; default 3,000. */
  timeoutMs?: number
}

const maximumAnswerBytes = 16 * 1_048_576

export function createServiceClient(options: ServiceClientOptions): ServiceClient {
  const baseUrl = options.baseUrl.replace(/\/+$/, '')
  const timeoutMs = options.timeoutMs ?? 3_000
  const tokenFor = createServiceTokens({ secret: options.secret, service: options.service })

  const call = async (method: string, path: string, tenantId: string, body: unknown): Promise<unknown> => {
    const traceparent = traceparentOf()
    const headers = {
      authorization: `Bearer ${await tokenFor(tenantId)}`,
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(traceparent === undefined ? {} : { traceparent }),
    }
    const where = `${method} ${path.split('?', 1)[0]}`
    let response: Response
    let text: string
    try {
      response = await fetch(`${baseUrl}${path}`, {
        method,
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      })
      text = await limitedText(response)
    } catch (error) {
      throw unavailable(`${where} did not answer.`, error)
    }
    const value = parsed(text, where, response.ok)
    if (response.ok) return value
    throw refusal(response, value, where)
  }

  const checked = <S extends z.ZodType>(schema: S, value: unknown, where: string): z.output<S> => {
    const result = schema.safeParse(value)
    if (result.success) return result.data
    throw unavailable(`${where} answered something unexpected.`, result.error)
  }

  return {
    get: async (path, tenantId, schema) => checked(schema, await call('GET', path, tenantId, undefined), path),
    post: async (path, tenantId, body, schema) => checked(schema, await call('POST', path, tenantId, body), path),
  }
}

async function limitedText(response: Response): Promise<string> {
  if (!response.body) return ''
  const decoder = new TextDecoder()
  let text = ''
  let length = 0
  for await (const chunk of response.body) {
    length += chunk.length
    if (length > maximumAnswerBytes) throw new RangeError(`the answer is larger than ${maximumAnswerBytes} bytes`)
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

function parsed(text: string, where: string, mustBeJson: boolean): unknown {
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch (error) {
    if (mustBeJson) throw unavailable(`${where} answered something that is not JSON.`, error)
    return undefined
  }
}

/** A refusal of what was asked is passed on; a failure, or a refusal of who asks, is a failure of the dependency. */
function refusal(response: Response, value: unknown, where: string): Problem {
  const document = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  const { code, detail, errors, type: _type, title: _title, status: _status, ...extensions } = document
  const known = typeof code === 'string' && code in problemCodes
  if (!known || response.status >= 500 || response.status === 401 || response.status === 403) {
    const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN)
    return unavailable(
      `${where} answered ${response.status}.`,
      document,
      Number.isFinite(retryAfter) ? retryAfter : undefined,
    )
  }
  return new Problem(
    code as ProblemCode,
    typeof detail === 'string' ? detail : problemCodes[code as ProblemCode].title,
    {
      ...(Array.isArray(errors) ? { errors: errors as InputError[] } : {}),
      extensions,
    },
  )
}

function unavailable(detail: string, cause: unknown, retryAfterSeconds = 1): Problem {
  return new Problem('dependency-unavailable', detail, { cause, retryAfterSeconds })
}
