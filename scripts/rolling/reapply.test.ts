import test from 'ava'
import { respectRollouts } from './reapply.ts'
import { rollOut } from './roll-out.ts'
import { releaseTraffic } from './roll-back.ts'
import { readState, stateAnnotation, writeState, type RolloutState } from './rollout-state.ts'
import { FakeCluster, fakePlan, fakeWorld } from './testing.ts'

const manifestWith = (image: string) => ({
  apiVersion: 'serving.knative.dev/v1',
  kind: 'Service',
  metadata: { name: 'order' },
  spec: {
    template: {
      spec: { containers: [{ image, ports: [{ containerPort: 8080 }], env: [{ name: 'NEW', value: '1' }] }] },
    },
  },
})
const configuration = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'order' } }

test('reapply – what was never rolled out is applied as it is', (t) => {
  const manifest = manifestWith('dev.example/order:built')
  t.deepEqual(respectRollouts([manifest, configuration], [new FakeCluster().object]), {
    plain: [manifest, configuration],
    owned: [],
    running: [],
    notes: [],
  })
  t.deepEqual(respectRollouts([manifest], []).plain, [manifest])
})

test('reapply – keeps the image of a finished rollout and says so, with everything else of the manifest', async (t) => {
  const cluster = new FakeCluster()
  await rollOut(fakeWorld(cluster).world, fakePlan)
  const { plain, owned, notes } = respectRollouts(
    [manifestWith('dev.example/order:old'), configuration],
    [cluster.object],
  )
  t.deepEqual(owned, [manifestWith(fakePlan.image)])
  t.deepEqual(plain, [configuration])
  t.regex(notes.join(), /order keeps dev.example\/order:new.*finished/)
  t.deepEqual(respectRollouts([manifestWith(fakePlan.image)], [cluster.object]).notes, [])
})

test('reapply – a failed image does not come back with it', async (t) => {
  const cluster = new FakeCluster()
  cluster.behaviours.set(fakePlan.image, { errorShare: 1 })
  await rollOut(fakeWorld(cluster).world, fakePlan)
  t.deepEqual(respectRollouts([manifestWith(fakePlan.image)], [cluster.object]).owned, [
    manifestWith('dev.example/order:old'),
  ])
})

test('reapply – a rollout that is half-way is left alone, a function that was given back is not', async (t) => {
  const cluster = new FakeCluster()
  const { world } = fakeWorld(cluster)
  await rollOut(world, fakePlan)
  cluster.advance(3_000)
  await releaseTraffic(world)
  const manifest = manifestWith('dev.example/order:third')
  t.deepEqual(respectRollouts([manifest], [cluster.object]).owned, [manifest])
  const state = readState(cluster.object)
  t.truthy(state)
  cluster.object.metadata.annotations = {
    [stateAnnotation]: writeState({ ...(state as RolloutState), phase: 'running' }),
  }
  t.deepEqual(respectRollouts([manifest], [cluster.object]), { plain: [], owned: [], running: ['order'], notes: [] })
})
