/** The relay as it runs in a process, on a real Redis: back-off, draining, and the sweep for what others left. */
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { startRedis } from '@stampede/shared/testing/services.ts'
import { startRelay } from './relay-loop.ts'
import { nextNumber, numbersOf, startOutboxes } from './relay.fixture.ts'
import type { RelayMessage } from './relay.ts'
import { randomId } from './testing.ts'

const { saleWith, outboxLength, loopOptions, stop } = await startOutboxes()
test.after.always(stop)

test('relay loop – back-off while Kafka fails, then everything arrives', async (t) => {
  const { bucket, accepted } = await saleWith(10, 10)
  const sent: RelayMessage[] = []
  let failures = 3
  const relay = startRelay(
    loopOptions(async (messages) => {
      if (failures-- > 0) throw new Error('no broker')
      sent.push(...messages)
    }, 'one'),
  )
  relay.wake(bucket)
  while ((await outboxLength(bucket)) !== 0) await sleep(20)
  t.true(await relay.drain(5_000))
  t.deepEqual(numbersOf(sent).sort(), accepted.sort())
})

test('relay loop – draining sends what is there; what it cannot send stays for others', async (t) => {
  const { bucket, accepted } = await saleWith(5, 10)
  const sent: RelayMessage[] = []
  const relay = startRelay(loopOptions(async (messages) => void sent.push(...messages), 'one'))
  relay.wake(bucket)
  t.true(await relay.drain(5_000))
  t.deepEqual(numbersOf(sent).sort(), accepted.sort())

  const other = await saleWith(5, 10)
  const broken = startRelay(loopOptions(() => Promise.reject(new Error('no broker')), 'two'))
  broken.wake(other.bucket)
  t.false(await broken.drain(300))
  t.is(await outboxLength(other.bucket), 5)
})

test('relay loop – the sweep finds what a dead process left, and claims what it had read', async (t) => {
  const own = await startRedis()
  const connection = connectRedis(own.url)
  t.teardown(async () => {
    connection.disconnect()
    await own.stop()
  })
  const ownStore = createSaleStore(connection)
  const bucket = { tenantId: randomId('tenant'), activityId: randomId('activity'), bucket: 1 }
  await ownStore.warmUp({
    ...bucket,
    stock: 10,
    perUserLimit: 1,
    buckets: 2,
    startsAtMs: 0,
    endsAtMs: Date.now() + 600_000,
  })
  const purchase = (userId: string) => ownStore.purchase(bucket, [{ userId, quantity: 1, orderNumber: nextNumber() }])
  await purchase('ann')
  await ownStore.readOutbox(bucket, 'dead', 100)
  await purchase('bob')
  const users: string[] = []
  const relay = startRelay({
    ...loopOptions(async (messages) => {
      for (const { data } of messages) users.push(...data.purchases.map(({ userId }) => userId))
    }, 'one'),
    store: ownStore,
    sweepMs: 20,
    claimIdleMs: 50,
  })
  while ((await ownStore.snapshot(bucket))?.outboxLength !== 0) await sleep(20)
  t.true(await relay.drain(5_000))
  t.deepEqual(users.sort(), ['ann', 'bob'])
})

test('relay loop – while few purchases come at a time they gather for longer', async (t) => {
  const flow = async (lingerMaxMs: number) => {
    const { bucket, press } = await saleWith(0, 0)
    const sizes: number[] = []
    const send = async (messages: readonly RelayMessage[]) => void sizes.push(numbersOf(messages).length)
    const relay = startRelay({ ...loopOptions(send, 'one'), lingerMs: 5, lingerMaxMs })
    for (let number = 0; number < 60; number++) {
      await press(`user-${number}`)
      relay.wake(bucket)
      await sleep(5)
    }
    t.true(await relay.drain(5_000))
    t.is(
      sizes.reduce((sum, size) => sum + size, 0),
      60,
    )
    return sizes.length
  }
  const [small, large] = [await flow(5), await flow(100)]
  t.true(large * 2 < small, `${large} and ${small} batches`)
})
