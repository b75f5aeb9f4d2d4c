/** The Kafka protocol binding of CloudEvents 1.0: binary mode out, binary and structured mode in. */
import type { IHeaders, Message } from 'kafkajs'
import { parseStructured, toMessage, type CloudEvent, type EventMessage } from '../events/cloud-event.ts'

export type KafkaRecord = { key: Buffer | null; value: Buffer | null; headers: Record<string, string> }

/** The record of an event: attributes as `ce_` headers, key = the `partitionkey` extension, value = the data as it is. */
export function encodeKafka(message: EventMessage): KafkaRecord & Message {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(message.attributes)) {
    headers[name === 'datacontenttype' ? 'content-type' : `ce_${name}`] = value
  }
  const key = message.attributes['partitionkey']
  return { key: key === undefined ? null : Buffer.from(key), value: message.data ?? null, headers }
}

export const eventToKafka = (event: CloudEvent): KafkaRecord & Message => encodeKafka(toMessage(event))

const textOf = (value: IHeaders[string]): string | undefined => {
  const first = Array.isArray(value) ? value[0] : value
  return first === undefined || first === null ? undefined : first.toString()
}

/** The event of a record, or undefined when the record is none. The attributes are not checked. */
export function decodeKafka(record: {
  value: Buffer | null
  headers?: IHeaders | undefined
}): EventMessage | undefined {
  const headers = record.headers ?? {}
  const contentType = textOf(headers['content-type'])
  if (contentType?.startsWith('application/cloudevents+json')) {
    try {
      return parseStructured(record.value ?? Buffer.alloc(0))
    } catch {
      return undefined
    }
  }
  if (headers['ce_specversion'] === undefined) return undefined
  const attributes: Record<string, string> = {}
  for (const name in headers) {
    if (!name.startsWith('ce_')) continue
    const value = textOf(headers[name])
    if (value !== undefined) attributes[name.slice(3)] = value
  }
  if (contentType !== undefined) attributes['datacontenttype'] = contentType
  return { attributes, data: record.value ?? undefined }
}
