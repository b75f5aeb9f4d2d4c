import type { KafkaMessage } from 'kafkajs'
import { checkAttributes, type EventMessage } from '@stampede/shared/events/cloud-event.ts'
import { decodeKafka } from '@stampede/shared/kafka/cloud-event.ts'
import type { EngineLog } from './log.ts'
import type { ConsumerPlan } from './plan.ts'
import { wrapRecord } from './wrap-record.ts'

/** The event of a record; a source makes one of what is none, a Trigger leaves it out (undefined). */
export function readRecord(
  plan: Pick<ConsumerPlan, 'kind' | 'name' | 'wrapSource'>,
  log: EngineLog,
  topic: string,
  partition: number,
  record: KafkaMessage,
): EventMessage | undefined {
  const message = decodeKafka(record)
  if (message && checkAttributes(message.attributes).length === 0) return message
  if (plan.kind === 'source') return wrapRecord(plan.wrapSource, topic, partition, record)
  log.error(
    { consumer: plan.name, topic, partition, offset: record.offset },
    'record of a broker topic is no CloudEvent; it is left out',
  )
  return undefined
}
