import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import { hasAlarms } from '@stampede/shared/function/host-alarms.ts'
import { alarmDue } from '../catalogue/alarm-events.ts'
import { topicName } from './names.ts'

/** What one Trigger delivers: of a function the subscriptions with order together, and those without. */
export type TriggerGroup = {
  name: string
  functionName: string
  ordered: boolean
  types: string[]
  /** Of these types only events with this subject. */
  subjects: ReadonlyMap<string, string>
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
 * get both through the same Trigger. Each Trigger is a consumer group that reads everything of the Broker, so there are no more of them than
 * kinds of delivery.
 */
export function triggerGroups(functions: readonly AnyFunction[]): TriggerGroup[] {
  return functions.flatMap((definition) => {
    const { name, events = [] } = definition
    const typesFromBroker = (inOrder: boolean) =>
      events
        .filter(({ options }) => options.kafkaTopic === undefined && (options.ordered ?? false) === inOrder)
        .map(({ event }) => event.type)
    // Alarms of others would wake the function up.
    const subjects = new Map(hasAlarms(definition) ? [[alarmDue.type, name]] : [])
    const unordered = [...typesFromBroker(false), ...subjects.keys()]
    const group = { functionName: name, subjects }
    return [
      { ...group, name: `${name}-ordered`, ordered: true, types: typesFromBroker(true).toSorted() },
      { ...group, name: `${name}-unordered`, ordered: false, types: unordered.toSorted() },
    ].filter(({ types }) => types.length > 0)
  })
}

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
