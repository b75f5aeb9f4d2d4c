/** What order says of a purchase afterwards: units and right come back once, a stored order counts once. */
import test from 'ava'
import { openSales } from '../testing/open-sales.ts'
import { bucketRef, buy, newSale, press, snapshotOf } from '../testing/sale.ts'
import { bucketKeys } from './keys.ts'

const { redis, store, open, close } = openSales()
test.after.always(close)

const outcomes = (verdicts: { outcome: string }[]) => verdicts.map(({ outcome }) => outcome)

test('release – gives units and right back once, in every state', async (t) => {
  const { bucket } = await open({ stock: 3, perUserLimit: 2 })
  const [ann, bob] = [press('ann', 2), press('bob')]
  await buy(store, bucket, ann, bob)
  await store.confirm(bucket, [ann])
  await store.setState(bucket, 'closed')
  await redis.hset(bucketKeys(bucket).sale, 'run', 'another')
  t.is(await store.release(bucket, [ann, ann, { userId: 'ann', orderNumber: bob.orderNumber }]), 1)
  t.is(await store.release(bucket, [ann]), 0)
  t.like(await snapshotOf(store, bucket), { left: 2, sold: 1, confirmed: 0, version: 1 })
  t.deepEqual(await store.buyers(bucket, ['ann']), [
    [{ orderNumber: ann.orderNumber, quantity: 2, status: 'released' }],
  ])
})

test('release – N parallel callers release once', async (t) => {
  const { bucket } = await open()
  const ann = press('ann')
  await buy(store, bucket, ann)
  const released = await Promise.all(Array.from({ length: 20 }, () => store.release(bucket, [ann])))
  t.is(
    released.reduce((sum, count) => sum + count),
    1,
  )
  t.like(await snapshotOf(store, bucket), { left: 10, sold: 0, version: 1 })
})

test('release – the buyer may buy again; of released entries only the newest is kept', async (t) => {
  const { bucket } = await open()
  const rounds = [press('ann'), press('ann'), press('ann')]
  for (const purchase of rounds) {
    t.deepEqual(outcomes(await buy(store, bucket, purchase)), ['accepted'])
    t.is(await store.release(bucket, [purchase]), 1)
  }
  const last = press('ann')
  await buy(store, bucket, last)
  t.deepEqual(await store.buyers(bucket, ['ann']), [
    [
      { orderNumber: rounds[2]!.orderNumber, quantity: 1, status: 'released' },
      { orderNumber: last.orderNumber, quantity: 1, status: 'accepted' },
    ],
  ])
})

test('release – more than one script call takes, unknown orders and unknown sales', async (t) => {
  const { bucket } = await open({ stock: 600 })
  const presses = Array.from({ length: 600 }, (_, i) => press(`user-${i}`))
  for (let from = 0; from < 600; from += 200) await store.purchase(bucket, presses.slice(from, from + 200))
  t.is(await store.confirm(bucket, presses), 600)
  t.is(await store.release(bucket, [...presses, press('nobody')]), 600)
  t.is(await store.release(bucketRef(newSale()), presses.slice(0, 1)), 0)
  t.is(await store.release(bucket, []), 0)
  await t.throwsAsync(store.release(bucket, [{ userId: 'a b', orderNumber: 'X' }]), { instanceOf: TypeError })
  t.like(await snapshotOf(store, bucket), { left: 600, sold: 0, confirmed: 0 })
})

test('confirm – once for each order, not for released ones', async (t) => {
  const { bucket } = await open({ perUserLimit: 2 })
  const [first, second, gone] = [press('ann'), press('ann'), press('bob')]
  await buy(store, bucket, first, second, gone)
  await store.release(bucket, [gone])
  t.is(await store.confirm(bucket, [second, second, gone, press('nobody')]), 1)
  t.is(await store.confirm(bucket, [second]), 0)
  t.is(await store.confirm(bucketRef(newSale()), [second]), 0)
  await t.throwsAsync(store.confirm(bucket, [{ userId: 'ann', orderNumber: '.*' }]), { instanceOf: TypeError })
  t.is((await snapshotOf(store, bucket)).confirmed, 1)
  t.deepEqual(
    (await store.buyers(bucket, ['ann']))[0]!.map(({ status }) => status),
    ['accepted', 'confirmed'],
  )
})
