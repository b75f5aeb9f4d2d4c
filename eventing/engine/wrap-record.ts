import type { KafkaMessage } from 'kafkajs'
import type { EventMessage } from '@stampede/shared/events/cloud-event.ts'

/** The event that a KafkaSource makes of a record that is no CloudEvent. The same record always gets the same id. */
export function wrapRecord(source: string, topic: string, partition: number, record: KafkaMessage): EventMessage {
  const key = record.key?.toString()
  const headers = Object.entries(record.headers ?? {})
  const contentType = headers.find(([name]) => name.toLowerCase() === 'content-type')?.[1]?.toString()
  return {
    attributes: {
      specversion: '1.0',
      id: `partition:${partition}/offset:${record.offset}`,
      source: `${source}${topic}`,
      type: 'dev.knative.kafka.event',
      subject: `partition:${partition}#${record.offset}`,
      time: new Date(Number(record.timestamp)).toISOString(),
      ...(contentType ? { datacontenttype: contentType } : {}),
      ...(key === undefined || !/^[\u0020-\u007e]*$/.test(key) ? {} : { key, partitionkey: key }),
    },
    data: record.value ?? undefined,
  }
}
