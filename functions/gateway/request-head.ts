/**
 * Reads the headers of a request once: what the gateway itself needs, what goes on to the upstream, and whether its framing is beyond
 * doubt. Node's parser has refused most of what smuggling needs; what it lets through is refused here.
 */
import type { IncomingMessage } from 'node:http'
import { isHost } from './request-line.ts'

export type RequestHead = {
  /** Name, value, name, value: what goes on. */
  outgoing: string[]
  /** Of the body; -1: chunked. */
  bodyBytes: number
  host: string
  authorization: string | undefined
  pass: string | undefined
  origin: string | undefined
  accept: string | undefined
  traceparent: string | undefined
  requestId: string | undefined
  forwardedFor: string | undefined
  forwardedHost: string | undefined
  forwardedProto: string | undefined
  preflightMethod: string | undefined
}

/** Why a request is refused before anything else is looked at. */
export type HeadRefusal = { refusal: 'invalid' | 'too-large'; detail: string }

export type HeadLimits = { count: number; bytes: number }

type Own = Exclude<keyof RequestHead, 'outgoing' | 'bodyBytes'>

/** `once`: a second one makes it ambiguous who is meant. `goesOn`: the upstream gets it as it came. */
type Treatment =
  | { kind: 'own'; as: Own; once: boolean; goesOn: boolean }
  | { kind: 'framing' }
  | { kind: 'once' }
  | { kind: 'connection' }
  | { kind: 'drop' }
  | { kind: 'pass' }

const pass: Treatment = { kind: 'pass' }
const drop: Treatment = { kind: 'drop' }
const once: Treatment = { kind: 'once' }
const own = (as: Own, options: { once?: boolean; goesOn?: boolean } = {}): Treatment => ({
  kind: 'own',
  as,
  once: options.once ?? false,
  goesOn: options.goesOn ?? false,
})

const treatments = new Map<string, Treatment>([
  // Hop-by-hop, RFC 9110 7.6.1; `expect` was answered by Node.
  ...[
    'keep-alive',
    'proxy-connection',
    'proxy-authenticate',
    'proxy-authorization',
    'te',
    'trailer',
    'upgrade',
    'expect',
    'http2-settings',
  ].map((name): [string, Treatment] => [name, drop]),
  ['connection', { kind: 'connection' }],
  ['transfer-encoding', { kind: 'framing' }],
  ['content-length', { kind: 'framing' }],
  ['content-type', once],
  ['content-encoding', once],
  ['idempotency-key', once],
  ['stampede-device', once],
  ['host', own('host', { once: true })],
  ['authorization', own('authorization', { once: true, goesOn: true })],
  ['stampede-pass', own('pass', { once: true, goesOn: true })],
  ['origin', own('origin', { once: true, goesOn: true })],
  ['accept', own('accept', { goesOn: true })],
  ['traceparent', own('traceparent', { once: true })],
  ['access-control-request-method', own('preflightMethod', { once: true })],
  ['x-request-id', own('requestId')],
  ['x-forwarded-for', own('forwardedFor')],
  ['x-forwarded-host', own('forwardedHost')],
  ['x-forwarded-proto', own('forwardedProto')],
  // Made by proxies, believed by somebody: no client sends them.
  ...[
    'forwarded',
    'via',
    'x-real-ip',
    'x-client-ip',
    'true-client-ip',
    'cf-connecting-ip',
    'x-cluster-client-ip',
    'x-original-url',
    'x-rewrite-url',
    'x-original-host',
    'x-host',
    'x-http-method',
    'x-http-method-override',
    'x-method-override',
  ].map((name): [string, Treatment] => [name, drop]),
])
/** CloudEvents, Knative, Envoy, other proxies: these belong to what is behind the gateway. */
const internalPrefixes = ['ce-', 'k-', 'knative-', 'x-envoy-', 'x-forwarded-', 'x-b3-', 'x-original-']

/** By the spelling of the client, so that most names are never made lower case; its size has a limit. */
const spellings = new Map<string, { name: string; treatment: Treatment }>()
const maximumSpellings = 2_000

function lookUp(spelled: string): { name: string; treatment: Treatment } {
  const known = spellings.get(spelled)
  if (known) return known
  const name = spelled.toLowerCase()
  const treatment = treatments.get(name) ?? (internalPrefixes.some((prefix) => name.startsWith(prefix)) ? drop : pass)
  const found = { name, treatment }
  if (spellings.size < maximumSpellings && spelled.length <= 64) spellings.set(spelled, found)
  return found
}

const invalid = (detail: string): HeadRefusal => ({ refusal: 'invalid', detail })

export function readHead(request: IncomingMessage, limits: HeadLimits): RequestHead | HeadRefusal {
  const { rawHeaders } = request
  if (rawHeaders.length > 2 * limits.count) {
    return { refusal: 'too-large', detail: `A request may have at most ${limits.count} headers.` }
  }
  const head: RequestHead = {
    outgoing: [],
    bodyBytes: 0,
    host: '',
    authorization: undefined,
    pass: undefined,
    origin: undefined,
    accept: undefined,
    traceparent: undefined,
    requestId: undefined,
    forwardedFor: undefined,
    forwardedHost: undefined,
    forwardedProto: undefined,
    preflightMethod: undefined,
  }
  const { outgoing } = head
  let seen: Set<string> | undefined
  let named: string | undefined
  let bytes = 0
  let lengths = 0
  let codings = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const spelled = rawHeaders[index]!
    const value = rawHeaders[index + 1]!
    bytes += spelled.length + value.length
    const { name, treatment } = lookUp(spelled)
    switch (treatment.kind) {
      case 'pass':
        outgoing.push(name, value)
        break
      case 'once':
        seen ??= new Set()
        if (seen.has(name)) return invalid(`The header ${name} is there twice.`)
        seen.add(name)
        outgoing.push(name, value)
        break
      case 'own': {
        const { as, goesOn } = treatment
        const before = head[as]
        if (before !== undefined && before !== '') {
          if (treatment.once) return invalid(`The header ${name} is there twice.`)
          head[as] = `${before}, ${value}`
        } else head[as] = value
        if (goesOn) outgoing.push(name, value)
        break
      }
      case 'connection':
        named = named === undefined ? value : `${named},${value}`
        break
      case 'framing':
        if (name === 'content-length') {
          lengths++
          if (!/^\d{1,15}$/.test(value)) return invalid('The length of the body is not a number.')
          head.bodyBytes = Number(value)
        } else {
          codings++
          if (value.toLowerCase() !== 'chunked') return invalid('The body may be chunked and nothing else.')
        }
        break
      default:
    }
  }
  if (bytes > limits.bytes) {
    return { refusal: 'too-large', detail: `The headers of a request may have at most ${limits.bytes} bytes.` }
  }
  if (lengths > 1 || codings > 1 || (lengths > 0 && codings > 0))
    return invalid('It is not clear how long the body is.')
  if (codings > 0) {
    if (request.httpVersionMajor === 1 && request.httpVersionMinor === 0)
      return invalid('HTTP/1.0 has no chunked bodies.')
    head.bodyBytes = -1
  }
  if (!isHost(head.host)) return invalid('The header host is not valid.')
  if (named !== undefined) head.outgoing = withoutNamed(outgoing, named)
  return head
}

/** Headers that `connection` names are for this hop alone. */
function withoutNamed(headers: string[], connection: string): string[] {
  const names = connection
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && name !== 'close' && name !== 'keep-alive')
  if (names.length === 0) return headers
  const left: string[] = []
  for (let index = 0; index < headers.length; index += 2) {
    if (!names.includes(headers[index]!)) left.push(headers[index]!, headers[index + 1]!)
  }
  return left
}
