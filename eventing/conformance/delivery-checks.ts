import { deepEqual, equal, ok } from 'node:assert/strict'
import type { Check } from './check.ts'
import { makeEvent, publish } from './publish.ts'
import type { Answer } from './subscriber.ts'
import { atLeast } from './transport-checks.ts'

const pause = (durationMs: number) => new Promise((resolve) => setTimeout(resolve, durationMs))

export const deliveryChecks: Check[] = [
  {
    title: 'order – events of a partition key are delivered one after the other, although some fail at first',
    ordered: true,
    run: async (broker) => {
      const keys = 8
      const perKey = 15
      const running = new Map<string, number>()
      const done = new Map<string, number[]>()
      let overlaps = 0
      const events = Array.from({ length: keys * perKey }, (_, index) => {
        const key = `key-${index % keys}`
        const number = Math.floor(index / keys)
        const event = makeEvent(broker, 'ordered', `${key}-${number}`, { partitionkey: `${broker.run}-${key}` })
        broker.subscriber.answer('/ordered', event.id, async (_arrival, earlier) => {
          const before = running.get(key) ?? 0
          if (before > 0) overlaps += 1
          running.set(key, before + 1)
          await pause((index * 7) % 5)
          running.set(key, running.get(key)! - 1)
          if (earlier === 0 && index % 11 === 0) return { status: 503 }
          done.set(key, [...(done.get(key) ?? []), number])
          return { status: 204 }
        })
        return { key, event }
      })
      // One after the other for each key, the keys side by side.
      await Promise.all(
        [...Map.groupBy(events, ({ key }) => key).values()].map(async (ofKey) => {
          for (const { event } of ofKey) await publish(broker, event)
        }),
      )
      await broker.subscriber.until('all events', () => [...done.values()].flat().length >= keys * perKey)
      equal(overlaps, 0, 'two events of a key at once')
      for (const numbers of done.values())
        deepEqual(
          numbers,
          Array.from({ length: perKey }, (_, index) => index),
        )
    },
  },
  {
    title: 'order – a key that waits does not hold up the others',
    run: async (broker) => {
      const { promise: release, resolve } = Promise.withResolvers<Answer>()
      const held = makeEvent(broker, 'ordered', 'held', { partitionkey: `${broker.run}-held` })
      broker.subscriber.answer('/ordered', held.id, () => release)
      // A broker without a log behind it answers only when it has delivered.
      const published = publish(broker, held)
      await broker.subscriber.until('the held event', () => atLeast(1, broker.subscriber.at('/ordered', held.id)))
      // So many keys that some live in other partitions, which is all that Knative promises.
      const names = Array.from({ length: 24 }, (_, index) => `free-${index}`)
      await Promise.all(
        names.map((name) =>
          publish(broker, makeEvent(broker, 'ordered', name, { partitionkey: `${broker.run}-${name}` })),
        ),
      )
      const wanted = broker.local ? names.length : 1
      await broker.subscriber.until('other keys', () =>
        atLeast(wanted, broker.subscriber.at('/ordered', `${broker.run}-ordered-free-`)),
      )
      resolve({ status: 204 })
      await published
    },
  },
  {
    title: 'unordered – deliveries run side by side',
    run: async (broker) => {
      const { promise: release, resolve } = Promise.withResolvers<Answer>()
      const ids = ['first', 'second'].map((name) => makeEvent(broker, 'unordered', name, { partitionkey: broker.run }))
      for (const { id } of ids) broker.subscriber.answer('/unordered', id, () => release)
      const published = Promise.all(ids.map((event) => publish(broker, event)))
      // Neither is answered before both are there.
      for (const { id } of ids)
        await broker.subscriber.until(id, () => atLeast(1, broker.subscriber.at('/unordered', id)))
      resolve({ status: 204 })
      await published
    },
  },
  {
    title: 'replies – an event in the answer goes to the broker, in binary and in structured mode',
    run: async (broker) => {
      const binary = makeEvent(broker, 'replies', 'binary')
      const structured = makeEvent(broker, 'replies', 'structured')
      const replyTo = (name: string) => makeEvent(broker, 'replies-back', name)
      const { id, source, type } = replyTo('binary')
      broker.subscriber.answer('/replies', binary.id, () => ({
        status: 200,
        headers: {
          'ce-specversion': '1.0',
          'ce-id': id,
          'ce-source': source,
          'ce-type': type,
          'content-type': 'text/plain',
        },
        body: 'hello',
      }))
      broker.subscriber.answer('/replies', structured.id, () => ({
        status: 200,
        headers: { 'content-type': 'application/cloudevents+json' },
        body: JSON.stringify(replyTo('structured')),
      }))
      await Promise.all([publish(broker, binary), publish(broker, structured)])
      const [first] = await broker.subscriber.until('the binary reply', () =>
        atLeast(1, broker.subscriber.at('/replies-back', id)),
      )
      equal(first!.message.data?.toString(), 'hello')
      const second = await broker.subscriber.until('the structured reply', () =>
        atLeast(1, broker.subscriber.at('/replies-back', replyTo('structured').id)),
      )
      deepEqual(JSON.parse(second[0]!.message.data!.toString()), { name: 'structured' })
    },
  },
  {
    title: 'replies – an answer with a body that is no event is a failure',
    run: async (broker) => {
      const event = makeEvent(broker, 'replies', 'rubbish')
      broker.subscriber.answer('/replies', event.id, () => ({
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: '{"ok":true}',
      }))
      await publish(broker, event)
      await broker.subscriber.until('the dead letter', () =>
        atLeast(1, broker.subscriber.at('/dead/replies', event.id)),
      )
    },
  },
  {
    title: 'at least once – what was under way when the broker was killed is delivered afterwards',
    crashes: true,
    run: async (broker) => {
      const count = 60
      const answered = new Set<string>()
      let crashed = false
      const forever = new Promise<Answer>(() => {})
      const events = Array.from({ length: count }, (_, index) => {
        const event = makeEvent(broker, 'crash', `${index}`, { partitionkey: `${broker.run}-${index % 12}` })
        broker.subscriber.answer('/crash', event.id, () => {
          // Before the crash every second key is never answered.
          if (!crashed && index % 2 === 0) return forever
          answered.add(event.id)
          return { status: 204 }
        })
        return event
      })
      for (const event of events.slice(0, count / 2)) await publish(broker, event)
      await broker.subscriber.until(
        'deliveries under way',
        () => answered.size >= 5 && broker.subscriber.at('/crash', broker.run).length > answered.size,
      )
      // Accepted, and surely not delivered: their keys are stuck.
      for (const event of events.slice(count / 2)) await publish(broker, event)
      crashed = true
      await broker.crash!()
      await broker.subscriber.until('all events', () => answered.size === count)
      ok(events.every(({ id }) => answered.has(id)))
    },
  },
]
