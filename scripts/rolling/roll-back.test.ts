/** The ways back after a rollout: undone by hand, and traffic that follows the latest revision again. */
import test from 'ava'
import { releaseTraffic, undo } from './roll-back.ts'
import { rollOut } from './roll-out.ts'
import { clusterWith, fakePlan, fakeWorld, templateImage } from './testing.ts'
import { TrafficError } from './traffic.ts'

test('undo – all traffic and the image of the revision before, once', async (t) => {
  const cluster = clusterWith()
  const { world } = fakeWorld(cluster)
  await t.throwsAsync(undo(world, { keepTag: false }), { instanceOf: TrafficError })
  await rollOut(world, fakePlan)
  const state = await undo(world, { keepTag: false })
  t.is(state.phase, 'undone')
  t.deepEqual(cluster.shares(), { old: 100 })
  t.is(templateImage(cluster), 'old')
  await t.throwsAsync(undo(world, { keepTag: false }), { instanceOf: TrafficError, message: /undone/ })
})

test('undo – refused when the revision is gone', async (t) => {
  const cluster = clusterWith()
  const { world } = fakeWorld(cluster)
  await rollOut(world, fakePlan)
  cluster.revisions.delete('order-00001')
  await t.throwsAsync(undo(world, { keepTag: false }), {
    instanceOf: TrafficError,
    message: /--to dev.example\/order:old/,
  })
})

test('release – traffic follows the latest revision again, but not the failed image', async (t) => {
  const cluster = clusterWith({ errorShare: 1 })
  const { world } = fakeWorld(cluster)
  await rollOut(world, fakePlan)
  // The way back has just made a revision of the old image, which is not ready yet.
  t.not(cluster.object.status?.latestCreatedRevisionName, cluster.object.status?.latestReadyRevisionName)
  await releaseTraffic(world)
  t.deepEqual(cluster.object.spec.traffic, [{ latestRevision: true, percent: 100 }])
  t.deepEqual(cluster.shares(), { old: 100 })
  await rollOut(world, fakePlan)
  cluster.setImage(fakePlan.image)
  cluster.advance(5_000)
  await t.throwsAsync(releaseTraffic(world), { instanceOf: TrafficError, message: /rolled back/ })
  t.deepEqual(cluster.shares(), { old: 100 })
})

test('release – a latest revision that does not get ready gets no traffic, and is told with its reason', async (t) => {
  const cluster = clusterWith({ errorShare: 1 })
  const { world } = fakeWorld(cluster)
  await rollOut(world, fakePlan)
  cluster.behaviours.set('dev.example/order:never', { readyAfterMs: Infinity })
  cluster.setImage('dev.example/order:never')
  await t.throwsAsync(releaseTraffic(world), {
    instanceOf: TrafficError,
    message: /not ready within \d+ s: .*OOMKilled.*, so traffic stays where it is/,
  })
  t.deepEqual(cluster.shares(), { old: 100 })
})
