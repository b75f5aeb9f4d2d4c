/**
 * CloudEvents 1.0, without a library: two shapes and the rules between them.
 *
 * - `CloudEvent`: the JSON format's object, as functions make it; `data` is a JSON value.
 * - `EventMessage`: what transports carry: attributes as text and the bytes of the data. Brokers pass it on without parsing.
 */

export type CloudEvent<Data = unknown> = {
  specversion: '1.0'
  id: string
  source: string
  type: string
  subject?: string
  time?: string
  datacontenttype?: string
  dataschema?: string
  partitionkey?: string
  traceparent?: string
  data?: Data
  /** Other extension attributes. */
  [extension: string]: unknown
}

export type EventMessage = {
  /** All attributes, `specversion` and `datacontenttype` included, in their canonical text form. */
  attributes: Record<string, string>
  data: Buffer | undefined
}

/** Required by the specification beside `specversion`. */
export const requiredAttributes = ['id', 'source', 'type'] as const

const attributeName = /^[a-z0-9]{1,64}$/
/** More would not fit the default header limits of HTTP servers. */
const maximumAttributes = 64
const maximumAttributeBytes = 4_096
// The specification forbids control characters, noncharacters and lone surrogates in text.
// eslint-disable-next-line no-control-regex -- exactly these are forbidden
const forbidden = /[\u0000-\u001f\u007f-\u009f\ufdd0-\ufdef\ufffe\uffff]/u

/** Everything that is wrong with the attributes; empty when they are those of a CloudEvent 1.0. */
export function checkAttributes(attributes: Record<string, string>): string[] {
  const problems: string[] = []
  if (attributes['specversion'] === undefined) problems.push('specversion is missing')
  else if (attributes['specversion'] !== '1.0')
    problems.push(`specversion "${attributes['specversion']}" is not supported, only 1.0`)
  for (const name of requiredAttributes) {
    if (attributes[name] === undefined) problems.push(`${name} is missing`)
    else if (attributes[name] === '') problems.push(`${name} is empty`)
  }
  const entries = Object.entries(attributes)
  if (entries.length > maximumAttributes) problems.push(`more than ${maximumAttributes} attributes`)
  for (const [name, value] of entries.slice(0, maximumAttributes)) {
    if (!attributeName.test(name))
      problems.push(`attribute name "${name.slice(0, 80)}" is not lower-case letters and digits`)
    else if (forbidden.test(value) || !value.isWellFormed()) problems.push(`${name} holds forbidden characters`)
    else if (Buffer.byteLength(value) > maximumAttributeBytes)
      problems.push(`${name} is longer than ${maximumAttributeBytes} bytes`)
  }
  const { time } = attributes
  if (time !== undefined && !(rfc3339.test(time) && !Number.isNaN(Date.parse(time))))
    problems.push('time is not an RFC 3339 timestamp')
  return problems
}
const rfc3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/

/** `application/json`, `text/json` and every `+json`. */
export function isJsonMediaType(contentType: string | undefined): boolean {
  return contentType !== undefined && /^\s*[^;]*[/+]json\s*(;|$)/i.test(contentType)
}

export function toMessage(event: CloudEvent): EventMessage {
  const { data, data_base64: encoded, ...rest } = event
  const attributes: Record<string, string> = {}
  for (const [name, value] of Object.entries(rest)) {
    // JSON null means "not set".
    if (value === undefined || value === null) continue
    attributes[name] = typeof value === 'string' ? value : textOf(name, value)
  }
  return { attributes, data: bytesOf(attributes, data, encoded) }
}

function textOf(name: string, value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw new TypeError(`attribute ${name} is neither text, a number nor a boolean`)
}

function bytesOf(attributes: Record<string, string>, data: unknown, encoded: unknown): Buffer | undefined {
  if (encoded !== undefined && encoded !== null) {
    if (data !== undefined) throw new TypeError('data and data_base64 exclude each other')
    if (typeof encoded !== 'string') throw new TypeError('data_base64 is not text')
    return Buffer.from(encoded, 'base64')
  }
  if (data === undefined) return undefined
  if (Buffer.isBuffer(data)) return data
  // Without a declared type the JSON format means application/json.
  attributes['datacontenttype'] ??= 'application/json'
  if (typeof data === 'string' && !isJsonMediaType(attributes['datacontenttype'])) return Buffer.from(data)
  return Buffer.from(JSON.stringify(data))
}

/** The data as a value: parsed when it is JSON, text when it is text, else the bytes. Throws SyntaxError for broken JSON. */
export function dataOf(message: EventMessage): unknown {
  const { data } = message
  if (data === undefined || data.length === 0) return undefined
  const contentType = message.attributes['datacontenttype']
  if (contentType === undefined || isJsonMediaType(contentType)) return JSON.parse(data.toString('utf8'))
  return /^text\//i.test(contentType) ? data.toString('utf8') : data
}

/** The JSON format of an event that came over a transport. */
export function fromMessage(message: EventMessage): CloudEvent {
  const data = dataOf(message)
  const { attributes } = message
  if (Buffer.isBuffer(data)) return { ...attributes, data_base64: data.toString('base64') } as unknown as CloudEvent
  return { ...attributes, ...(data === undefined ? {} : { data }) } as unknown as CloudEvent
}

/** Reads the JSON format (structured mode). Throws SyntaxError or TypeError when it is not that. */
export function parseStructured(body: Buffer): EventMessage {
  const value: unknown = JSON.parse(body.toString('utf8'))
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('a CloudEvent is a JSON object')
  return toMessage(value as CloudEvent)
}
