/** The HTTP protocol binding of CloudEvents 1.0: binary mode out, binary and structured mode in. */
import type { IncomingHttpHeaders } from 'node:http'
import { parseStructured, toMessage, type CloudEvent, type EventMessage } from './cloud-event.ts'

export const structuredMediaType = 'application/cloudevents+json'

/** Percent-encoding of header values as the binding wants it: everything that is not printable ASCII, and space, `"` and `%`. */
export function encodeHeader(value: string): string {
  return /^[!#$&-~]*$/.test(value)
    ? value
    : value.replaceAll(/[^!#$&-~]/gu, (character) =>
        [...Buffer.from(character)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
      )
}

/** The reverse; a percent sign that encodes nothing stays. */
export function decodeHeader(value: string): string {
  if (!value.includes('%')) return value
  return value.replaceAll(/(?:%[0-9a-f]{2})+/gi, (sequence) =>
    Buffer.from(sequence.replaceAll('%', ''), 'hex').toString('utf8'),
  )
}

/** Headers and body of a POST in binary content mode. `traceparent` travels as W3C header too. */
export function toHttp(message: EventMessage): { headers: Record<string, string>; body: Buffer } {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(message.attributes)) {
    if (name === 'datacontenttype') headers['content-type'] = value
    else headers[`ce-${name}`] = encodeHeader(value)
  }
  const { traceparent, tracestate } = message.attributes
  if (traceparent !== undefined) headers['traceparent'] = traceparent
  if (traceparent !== undefined && tracestate !== undefined) headers['tracestate'] = tracestate
  const body = message.data ?? Buffer.alloc(0)
  headers['content-length'] = String(body.length)
  return { headers, body }
}

export const eventToHttp = (event: CloudEvent): { headers: Record<string, string>; body: Buffer } =>
  toHttp(toMessage(event))

export type HttpEventResult =
  | { kind: 'event'; message: EventMessage }
  /** Neither binary nor structured mode. */
  | { kind: 'none' }
  /** A mode that is known and not supported, for example a batch. */
  | { kind: 'unsupported'; detail: string }
  | { kind: 'invalid'; detail: string }

/** Reads an event from headers and body of a request or an answer. The attributes are not checked yet. */
export function fromHttp(headers: IncomingHttpHeaders, body: Buffer): HttpEventResult {
  const contentType = headers['content-type']
  const mediaType = contentType?.split(';', 1)[0]?.trim().toLowerCase()
  if (mediaType?.startsWith('application/cloudevents')) {
    if (mediaType !== structuredMediaType)
      return { kind: 'unsupported', detail: `${mediaType} is not supported, only ${structuredMediaType}` }
    try {
      return { kind: 'event', message: parseStructured(body) }
    } catch (error) {
      return { kind: 'invalid', detail: `The body is not a CloudEvent in JSON: ${(error as Error).message}` }
    }
  }
  const attributes: Record<string, string> = {}
  let found = false
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith('ce-') || value === undefined) continue
    attributes[name.slice(3)] = decodeHeader(Array.isArray(value) ? value.join(', ') : value)
    found = true
  }
  if (!found) return { kind: 'none' }
  if (contentType !== undefined) attributes['datacontenttype'] = contentType
  return { kind: 'event', message: { attributes, data: body.length > 0 ? body : undefined } }
}
