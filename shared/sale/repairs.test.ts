/** What recovery and reconciliation do to a bucket: restore, resend, lower what is left. */
import test from 'ava'
import { openSales } from '../testing/open-sales.ts'
import { bucketRef, buy, newSale, press, readMessages, snapshotOf } from '../testing/sale.ts'

const { store, open, close } = openSales()
test.after.always(close)

test('restore – applies what is missing once, with its message', async (t) => {
  const { bucket } = await open({ stock: 10, perUserLimit: 1 })
  const known = press('ann')
  await buy(store, bucket, known)
  await readMessages(store, bucket)
  const [lost, second] = [press('bob', 2, 'key-1'), press('ann')]
  const operations = [known, lost, second].map((purchase) => ({ kind: 'purchase' as const, ...purchase }))
  t.is(await store.restore(bucket, operations), 2)
  t.is(await store.restore(bucket, operations), 0)
  t.like(await snapshotOf(store, bucket), { left: 6, sold: 4 })
  t.deepEqual(await readMessages(store, bucket), [
    { userId: 'bob', quantity: 2, orderNumber: lost.orderNumber },
    { userId: 'ann', quantity: 1, orderNumber: second.orderNumber },
  ])
  t.deepEqual(await buy(store, bucket, press('bob', 1, 'key-1')), [
    { outcome: 'replayed', orderNumber: lost.orderNumber, quantity: 2 },
  ])
})

test('restore – without messages, in a closed sale, below zero', async (t) => {
  const { bucket } = await open({ stock: 1 })
  await buy(store, bucket, press('ann'))
  await store.setState(bucket, 'closed')
  t.is(await store.restore(bucket, [{ kind: 'purchase', ...press('bob') }], { resend: false }), 1)
  t.like(await snapshotOf(store, bucket), { left: -1, sold: 2, outboxLength: 1 })
  t.is(await store.restore(bucketRef(newSale()), [{ kind: 'purchase', ...press('bob') }]), 0)
})

test('restore – a release that was lost is applied once', async (t) => {
  const { bucket } = await open()
  const ann = press('ann', 1, 'key-1')
  await buy(store, bucket, ann)
  await store.confirm(bucket, [ann])
  const release = { kind: 'release' as const, userId: 'ann', orderNumber: ann.orderNumber }
  t.is(await store.restore(bucket, [release]), 1)
  t.is(await store.restore(bucket, [{ kind: 'purchase', ...ann }, release]), 0)
  t.like(await snapshotOf(store, bucket), { left: 10, sold: 0, confirmed: 0, version: 1 })
})

test('restore – a release restored before its purchase by another process wins', async (t) => {
  const { bucket } = await open()
  const ann = press('ann')
  await store.restore(bucket, [{ kind: 'release', userId: 'ann', orderNumber: ann.orderNumber }])
  t.is(await store.restore(bucket, [{ kind: 'purchase', ...ann }]), 0)
  t.like(await snapshotOf(store, bucket), { left: 10, sold: 0, outboxLength: 0 })
})

test('restore – keeps at most four released entries of a buyer', async (t) => {
  const { bucket } = await open()
  const releases = Array.from({ length: 9 }, () => ({
    kind: 'release' as const,
    userId: 'ann',
    orderNumber: press('ann').orderNumber,
  }))
  await store.restore(bucket, releases)
  const [entries] = await store.buyers(bucket, ['ann'])
  t.deepEqual(
    entries!.map(({ orderNumber }) => orderNumber),
    releases.slice(-4).map(({ orderNumber }) => orderNumber),
  )
})

test('resend – messages of live purchases only', async (t) => {
  const { bucket } = await open({ perUserLimit: 2 })
  const [ann, bob, gone] = [press('ann'), press('bob', 2), press('cid')]
  await buy(store, bucket, ann, bob, gone)
  await readMessages(store, bucket)
  await store.confirm(bucket, [bob])
  await store.release(bucket, [gone])
  t.is(await store.resend(bucket, [gone, bob, ann, press('nobody')]), 2)
  t.is(await store.resend(bucketRef(newSale()), [ann]), 0)
  t.deepEqual(await readMessages(store, bucket), [
    { userId: 'bob', quantity: 2, orderNumber: bob.orderNumber },
    { userId: 'ann', quantity: 1, orderNumber: ann.orderNumber },
  ])
  t.like(await snapshotOf(store, bucket), { left: 7, sold: 3 })
})

test('lower left – only down, never below zero', async (t) => {
  const { bucket } = await open({ stock: 10 })
  t.is(await store.lowerLeft(bucket, 12), 0)
  t.is(await store.lowerLeft(bucket, 7), 3)
  t.is(await store.lowerLeft(bucket, 7), 0)
  t.is(await store.lowerLeft(bucket, -5), 7)
  t.is(await store.lowerLeft(bucketRef(newSale()), 0), 0)
  t.is((await snapshotOf(store, bucket)).left, 0)
})
