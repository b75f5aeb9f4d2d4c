import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import { hasAlarms } from '@stampede/shared/function/host-alarms.ts'
import { alarmDue } from '../catalogue/alarm-events.ts'
import { topicName } from './names.ts'

/** What one Trigger delivers. */
export type TriggerGroup = {
  name: string
  functionName: string
  ordered: boolean
  types: string[]
  /** Only events with this subject. */
  subject?: string
}

/** What one KafkaSource delivers. */
export type SourceGroup = { name: string; functionName: string; topic: string; ordered: boolean; types: string[] }

/** @throws TypeError with every declaration that cannot be carried out. */
export function checkSubscriptions(functions: readonly AnyFunction[]): void {
  const problems = functions.flatMap(({ name, events = [] }) => {
    const types = events.map(({ event }) => event.type)
    // One delivery reaches all handlers of a type in a function: a second one would run each of them twice.
    return types
      .filter((type, index) => types.indexOf(type) !== index)
      .map((type) => `${name} subscribes to ${type} more than once`)
  })
  if (problems.length > 0) throw new TypeError(`The declarations cannot be carried out: ${problems.join('; ')}`)
}

/**
 * Order is kept inside one consumer group only. So a function that wants `activity.paused` and `activity.resumed` in order must
 * get both through the same Trigger. Those without order share another: each Trigger is a consumer group that reads everything of the
 * Broker. Alarms have their own, because they do not wait behind events that fail.
 */
export function triggerGroups(functions: readonly AnyFunction[]): TriggerGroup[] {
  return functions.flatMap((definition) => {
    const { name, events = [] } = definition
    const typesFromBroker = (inOrder: boolean) =>
      events
        .filter(({ options }) => options.kafkaTopic === undefined && (options.ordered ?? false) === inOrder)
        .map(({ event }) => event.type)
        .toSorted()
    const groups = [
      { name: `${name}-ordered`, functionName: name, ordered: true, types: typesFromBroker(true) },
      { name: `${name}-unordered`, functionName: name, ordered: false, types: typesFromBroker(false) },
      ...(hasAlarms(definition) ? [alarmGroup(name)] : []),
    ]
    return groups.filter(({ types }) => types.length > 0)
  })
}

/** Alarms of others would wake the function up. */
const alarmGroup = (name: string): TriggerGroup => ({
  name: `${name}-alarms`,
  functionName: name,
  ordered: false,
  types: [alarmDue.type],
  subject: name,
})

export function sourceGroups(functions: readonly AnyFunction[]): SourceGroup[] {
  const groups = functions.flatMap(({ name, events = [] }) => {
    const byTopic = Map.groupBy(
      events.filter(({ options }) => options.kafkaTopic !== undefined),
      ({ options }) => options.kafkaTopic!,
    )
    return [...byTopic].map(([topic, subscriptions]) => ({
      name: topicName(topic),
      functionName: name,
      topic,
      ordered: subscriptions.some(({ options }) => options.ordered === true),
      types: subscriptions.map(({ event }) => event.type).toSorted(),
    }))
  })
  const readers = Map.groupBy(groups, ({ topic }) => topic)
  return groups.map((group) =>
    readers.get(group.topic)!.length === 1 ? group : { ...group, name: `${group.name}-${group.functionName}` },
  )
}
