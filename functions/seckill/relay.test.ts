/** The relay, step by step on a real Redis: nothing is lost when a process dies at any point, and what is sent is what was accepted. */
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { purchaseAccepted } from '@stampede/eventing/catalogue/events.ts'
import { leaving, nextNumber, numbersOf, options, startOutboxes } from './relay.fixture.ts'
import {
  newRelayState,
  relayOnce,
  toMessages,
  type RelayEffects,
  type RelayMessage,
  type RelayOptions,
} from './relay.ts'

const { store, saleWith, outboxLength, stop } = await startOutboxes()
test.after.always(stop)

/** Steps until nothing is left. */
async function relayAll(
  bucket: Parameters<typeof relayOnce>[0],
  effects: RelayEffects,
  own: Partial<RelayOptions> = {},
  claim = false,
) {
  const state = newRelayState()
  while ((await relayOnce(bucket, state, effects, { ...options, ...own }, claim)).entries > 0);
}

test('relay – sends every accepted purchase once when nothing fails, and empties the outbox', async (t) => {
  const { bucket, accepted } = await saleWith(30, 7)
  const sent: RelayMessage[] = []
  await relayAll(bucket, { store, leaving, send: async (messages) => void sent.push(...messages) })
  t.is(accepted.length, 210)
  t.deepEqual(numbersOf(sent).sort(), accepted.sort())
  t.is(await outboxLength(bucket), 0)
  for (const { data } of sent) t.notThrows(() => purchaseAccepted.data.parse(data))
})

test('relay – Kafka fails: nothing is acknowledged, the same purchases are sent again under the same event ids', async (t) => {
  const { bucket, accepted } = await saleWith(3, 5)
  const state = newRelayState()
  const attempts: RelayMessage[][] = []
  let failures = 2
  const effects: RelayEffects = {
    store,
    leaving,
    send: async (messages) => {
      attempts.push([...messages])
      if (failures-- > 0) throw new Error('no broker')
    },
  }
  const big = { ...options, batchPurchases: 1_000 }
  await t.throwsAsync(relayOnce(bucket, state, effects, big))
  await t.throwsAsync(relayOnce(bucket, state, effects, big))
  t.is(await outboxLength(bucket), 3)
  await relayOnce(bucket, state, effects, big)
  t.is(attempts.length, 3)
  t.deepEqual(
    attempts[2]!.map(({ id }) => id),
    attempts[0]!.map(({ id }) => id),
  )
  t.deepEqual(numbersOf(attempts[2]!).sort(), accepted.sort())
  t.is(await outboxLength(bucket), 0)
})

test('relay – what leaves Redis is remembered before Kafka has it', async (t) => {
  const { bucket, accepted } = await saleWith(3, 5)
  const remembered: string[] = []
  const state = newRelayState()
  await t.throwsAsync(
    relayOnce(
      bucket,
      state,
      {
        store,
        leaving: (ref, purchases) => {
          t.deepEqual(ref, bucket)
          remembered.push(...purchases.map(({ orderNumber }) => orderNumber))
        },
        send: () => Promise.reject(new Error('no broker')),
      },
      { ...options, batchPurchases: 1_000 },
    ),
  )
  t.deepEqual(remembered.sort(), accepted.sort())
})

test('relay – dies between reading and sending: another process claims the entries after the idle time', async (t) => {
  const { bucket, accepted } = await saleWith(4, 5)
  await store.readOutbox(bucket, 'dead', 100)
  const sent: RelayMessage[] = []
  const effects: RelayEffects = { store, leaving, send: async (messages) => void sent.push(...messages) }
  await relayAll(bucket, effects, { consumer: 'two' }, true)
  t.is(sent.length, 0, 'not before they were idle for the time')
  await sleep(60)
  await relayAll(bucket, effects, { consumer: 'two', claimIdleMs: 50 }, true)
  t.deepEqual(numbersOf(sent).sort(), accepted.sort())
  t.is(await outboxLength(bucket), 0)
})

test('relay – dies between the acknowledgement of Kafka and the deletion: sent twice, never lost', async (t) => {
  const { bucket, accepted } = await saleWith(4, 5)
  const sent: RelayMessage[] = []
  const dying: RelayEffects = {
    store: { ...store, acknowledgeOutbox: () => Promise.reject(new Error('the process died here')) },
    leaving,
    send: async (messages) => void sent.push(...messages),
  }
  await t.throwsAsync(relayOnce(bucket, newRelayState(), dying, options))
  const first = numbersOf(sent)
  t.true(first.length > 0)
  await sleep(60)
  await relayAll(
    bucket,
    { store, leaving, send: async (messages) => void sent.push(...messages) },
    { consumer: 'two', claimIdleMs: 50 },
    true,
  )
  const all = numbersOf(sent)
  t.deepEqual([...new Set(all)].sort(), accepted.sort())
  t.is(all.length, accepted.length + first.length)
  t.is(await outboxLength(bucket), 0)
})

test('relay – Redis fails after Kafka: only the deletion is repeated', async (t) => {
  const { bucket, accepted } = await saleWith(2, 5)
  const sent: RelayMessage[] = []
  let failures = 1
  const effects: RelayEffects = {
    store: {
      ...store,
      acknowledgeOutbox: async (ref, ids) => {
        if (failures-- > 0) throw new Error('no answer')
        await store.acknowledgeOutbox(ref, ids)
      },
    },
    leaving,
    send: async (messages) => void sent.push(...messages),
  }
  const state = newRelayState()
  const big = { ...options, batchPurchases: 1_000 }
  await t.throwsAsync(relayOnce(bucket, state, effects, big))
  await relayOnce(bucket, state, effects, big)
  t.deepEqual(numbersOf(sent).sort(), accepted.sort())
  t.is(await outboxLength(bucket), 0)
})

test('messages – grouped by shard of the buyers in order, at most 1,000 purchases each, ids by content', (t) => {
  const bucket = { tenantId: 't', activityId: 'a', bucket: 0 }
  const purchases = Array.from({ length: 5_000 }, (_, index) => ({
    userId: `u${index}`,
    quantity: 1,
    orderNumber: nextNumber(),
  }))
  const entries = [{ id: '1-0', acceptedAtMs: 1, purchases }]
  const messages = toMessages(bucket, entries, 2)
  t.deepEqual(numbersOf(messages).sort(), purchases.map(({ orderNumber }) => orderNumber).sort())
  t.deepEqual([...new Set(messages.map(({ partitionKey }) => partitionKey))].sort(), ['t:a:0', 't:a:1'])
  for (const { data } of messages) {
    t.true(data.purchases.length <= 1_000)
    const numbers = data.purchases.map(({ orderNumber }) => orderNumber)
    t.deepEqual(numbers, [...numbers].sort())
  }
  t.is(new Set(messages.map(({ id }) => id)).size, messages.length)
  t.deepEqual(toMessages(bucket, entries, 2), messages)
})
