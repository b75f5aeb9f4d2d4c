import type { z } from 'zod'
import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import { brokerTopic } from '../engine/plan.ts'
import type { EventDefinition } from '../catalogue/definition.ts'
import { jsonSchemas } from './json-schemas.ts'
import { brokerName, namespace, shortName, topicName } from './names.ts'
import { sourceGroups, triggerGroups } from './subscriptions.ts'

type Definition = EventDefinition<z.ZodType>

const headerSchema = {
  type: 'object',
  description: 'CloudEvents 1.0 in binary mode: attributes as ce_ headers; the key of the record is the partitionkey.',
  required: ['ce_specversion', 'ce_id', 'ce_source', 'ce_type', 'ce_subject', 'ce_time'],
  properties: {
    ce_specversion: { const: '1.0' },
    ce_id: { type: 'string', minLength: 1 },
    ce_source: { type: 'string', format: 'uri-reference' },
    ce_type: { type: 'string' },
    ce_subject: { type: 'string' },
    ce_time: { type: 'string', format: 'date-time' },
    ce_partitionkey: { type: 'string' },
    ce_traceparent: { type: 'string' },
  },
}

/** AsyncAPI 3.0: the broker's topic and the topics of KafkaSources as channels, who sends to them and who receives from them. */
export function asyncApiDocument(catalogue: readonly Definition[], functions: readonly AnyFunction[]): object {
  const sources = sourceGroups(functions)
  const topicOf = new Map(sources.flatMap(({ topic, types }) => types.map((type) => [type, topic] as const)))
  const channelOf = (type: string) => (topicOf.has(type) ? topicName(topicOf.get(type)!) : 'broker')
  const reference = (path: string) => ({ $ref: path })
  const messageReference = (type: string) => reference(`#/channels/${channelOf(type)}/messages/${shortName(type)}`)
  const channel = (address: string, description: string, types: readonly string[]) => ({
    address,
    description,
    servers: [reference('#/servers/kafka')],
    messages: Object.fromEntries(
      types.map((type) => [shortName(type), reference(`#/components/messages/${shortName(type)}`)]),
    ),
  })
  const types = catalogue.map(({ type }) => type)
  const topics = [...new Set(sources.map(({ topic }) => topic))]

  const sends = [...Map.groupBy(catalogue, ({ source }) => source)].flatMap(([source, events]) =>
    [...Map.groupBy(events, ({ type }) => channelOf(type))].map(([channelName, group]) => {
      const owner = source.replace('/functions/', '')
      return [
        `${owner}-sends-to-${channelName}`,
        {
          action: 'send',
          summary: `${owner} publishes`,
          channel: reference(`#/channels/${channelName}`),
          messages: group.map(({ type }) => messageReference(type)),
        },
      ] as const
    }),
  )
  const receives = [...triggerGroups(functions), ...sources].map(
    (group) =>
      [
        `${group.functionName}-receives-by-${group.name}`,
        {
          action: 'receive',
          summary: `${group.functionName} receives${group.ordered ? ' in order for each partition key' : ''}`,
          channel: reference(`#/channels/${channelOf(group.types[0]!)}`),
          messages: group.types.map(messageReference),
        },
      ] as const,
  )

  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Stampede events',
      version: '1.0.0',
      description: 'Every event of the platform, from the event catalogue.',
    },
    defaultContentType: 'application/json',
    servers: {
      kafka: {
        host: 'kafka.infra.svc.cluster.local:9092',
        protocol: 'kafka',
        description:
          'Functions do not talk to it themselves: they publish with a POST to the broker and get events as HTTP requests.',
      },
    },
    channels: {
      broker: channel(
        brokerTopic(namespace, brokerName),
        'The broker "default".',
        types.filter((type) => channelOf(type) === 'broker'),
      ),
      ...Object.fromEntries(
        topics.map((topic) => [
          topicName(topic),
          channel(
            topic,
            'Delivered by a KafkaSource.',
            types.filter((type) => topicOf.get(type) === topic),
          ),
        ]),
      ),
    },
    operations: Object.fromEntries([...sends, ...receives]),
    components: {
      messages: Object.fromEntries(
        catalogue.map(({ type, summary, subject }) => [
          shortName(type),
          {
            name: type,
            title: type,
            summary,
            description: `Subject: ${subject}.`,
            contentType: 'application/json',
            headers: reference('#/components/schemas/cloudEventHeaders'),
            payload: reference(`#/components/schemas/${shortName(type)}`),
          },
        ]),
      ),
      schemas: {
        cloudEventHeaders: headerSchema,
        ...Object.fromEntries(
          jsonSchemas(catalogue).map(({ name, schema: { $schema: _dialect, $id: _id, ...schema } }) => [name, schema]),
        ),
      },
    },
  }
}
