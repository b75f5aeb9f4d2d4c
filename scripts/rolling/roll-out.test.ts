import test from 'ava'
import { restoreInterrupted } from './roll-back.ts'
import { rollOut } from './roll-out.ts'
import { LockedError, LostError, takeLock } from './rollout-lock.ts'
import { readState, stateAnnotation, writeState } from './rollout-state.ts'
import { clusterWith, fakePlan, fakeWorld, templateImage, type Behaviour, type Fault } from './testing.ts'
import { TrafficError } from './traffic.ts'

test('rollout – a good revision gets all traffic step by step and is the latest that traffic follows', async (t) => {
  const cluster = clusterWith()
  const { world } = fakeWorld(cluster)
  const result = await rollOut(world, fakePlan)
  t.is(result.outcome, 'finished')
  t.deepEqual(
    result.steps.map(({ percent, verdict }) => [percent, verdict]),
    [1, 10, 50, 100].map((percent) => [percent, 'good']),
  )
  t.is(result.metrics, 'queue-proxy')
  t.true((result.steps[1]?.stable.requests ?? 0) > (result.steps[1]?.candidate.requests ?? 0))
  cluster.advance(1_000)
  t.deepEqual(cluster.shares(), { new: 100 })
  t.deepEqual(cluster.object.spec.traffic, [{ latestRevision: true, percent: 100 }])
  t.is(readState(cluster.object)?.phase, 'finished')
  t.is(cluster.object.metadata.annotations?.['others.example/note'], 'kept')
  t.is(cluster.lease, undefined)
  t.deepEqual(cluster.violations, [])
})

const bad: [string, Behaviour, RegExp][] = [
  ['fails too often', { errorShare: 0.2 }, /at 1 %: .* requests failed with 500 or more/],
  ['is too slow', { takesMs: 900 }, /at 1 %: p99 was/],
  [
    'restarts',
    { restartsAfterMs: 15_000 },
    /container user-container of pod order-00002-pod was restarted \(OOMKilled, exit code 137\)/,
  ],
  ['never gets ready', { readyAfterMs: Infinity }, /not ready within 60 s: .*CrashLoopBackOff/],
]
for (const [title, behaviour, reason] of bad) {
  test(`rollout – back to the old revision and its image by itself when the new one ${title}`, async (t) => {
    const cluster = clusterWith(behaviour)
    const { world } = fakeWorld(cluster)
    const result = await rollOut(world, fakePlan)
    t.is(result.outcome, 'rolled-back')
    t.regex(result.reason ?? '', reason)
    t.deepEqual(cluster.shares(), { old: 100 })
    t.deepEqual(cluster.object.spec.traffic, [{ revisionName: 'order-00001', latestRevision: false, percent: 100 }])
    t.is(templateImage(cluster), 'old')
    t.is(readState(cluster.object)?.phase, 'rolled-back')
    t.is(readState(cluster.object)?.reason, result.reason)
    t.true(cluster.revisions.has('order-00002'), 'the failed revision is left')
    t.is(cluster.lease, undefined)
    t.deepEqual(cluster.violations, [])
  })
}

test('rollout – errors count from the moment the routes begin to change', async (t) => {
  const cluster = clusterWith({ errorShare: 1, failsForMs: 4_000 })
  cluster.routesLagMs = 5_000
  const result = await rollOut(fakeWorld(cluster).world, fakePlan)
  t.is(result.outcome, 'rolled-back')
  t.regex(result.reason ?? '', /requests failed/)
})

test('rollout – what somebody else wrote in the very moment before is not overwritten', async (t) => {
  for (const moment of [1, 2, 3, 4, 5]) {
    const cluster = clusterWith()
    let patches = 0
    let theirs = ''
    cluster.fault = ({ name }) => {
      if (name !== 'patchService' || (patches += 1) !== moment) return undefined
      const { candidate = { revision: '', image: fakePlan.image } } = readState(cluster.object) ?? {}
      const stable = { revision: 'order-00001', image: 'dev.example/order:old' }
      theirs = writeState({ id: 'two', phase: 'running', stable, candidate, tag: 'x', before: [], percent: 0, at: '' })
      cluster.object.metadata.annotations = { [stateAnnotation]: theirs }
      cluster.touch()
      return undefined
    }
    await t.throwsAsync(rollOut(fakeWorld(cluster).world, fakePlan), { instanceOf: LostError }, String(moment))
    t.is(cluster.object.metadata.annotations?.[stateAnnotation], theirs)
  }
})

test('rollout – back when it answers nothing well while it is warmed, without a request of a buyer', async (t) => {
  const cluster = clusterWith()
  const { world } = fakeWorld(cluster, { warm: async () => ({ answered: 0, failed: 60, lastStatus: 503 }) })
  const result = await rollOut(world, fakePlan)
  t.is(result.outcome, 'rolled-back')
  t.regex(result.reason ?? '', /answered none of 60 requests well.*503/)
  t.is(cluster.revisions.get('order-00002')?.pod.requests, 0)
})

test('rollout – too few requests end it, or are passed over when that was asked for', async (t) => {
  const few = clusterWith()
  few.requestsPerSecond = 1
  const failed = await rollOut(fakeWorld(few).world, fakePlan)
  t.is(failed.outcome, 'rolled-back')
  t.regex(failed.reason ?? '', /only \S+ requests in 6\d s/)

  const passed = clusterWith()
  passed.requestsPerSecond = 1
  const limits = { ...fakePlan.limits, fewRequests: 'continue' as const }
  const finished = await rollOut(fakeWorld(passed).world, { ...fakePlan, limits })
  t.is(finished.outcome, 'finished')
  t.regex(finished.steps[0]?.reason ?? '', /not judged/)
})

test('rollout – back when its metrics cannot be read any more', async (t) => {
  const cluster = clusterWith()
  const { world } = fakeWorld(cluster)
  cluster.onTime = () => {
    if (readState(cluster.object)?.percent === 10) cluster.metricsAnswer = false
  }
  const result = await rollOut(world, fakePlan)
  t.is(result.outcome, 'rolled-back')
  t.regex(result.reason ?? '', /at 10 %: its metrics could not be read for 60 s/)
})

test('rollout – steps of 100 alone switch everything at once, and back when it is bad', async (t) => {
  const good = await rollOut(fakeWorld(clusterWith()).world, { ...fakePlan, steps: [100] })
  t.deepEqual([good.outcome, good.steps.length], ['finished', 1])
  const cluster = clusterWith({ errorShare: 1 })
  t.is((await rollOut(fakeWorld(cluster).world, { ...fakePlan, steps: [100] })).outcome, 'rolled-back')
  t.deepEqual(cluster.shares(), { old: 100 })
})

test('rollout – the tag of the failed revision stays when that was asked for, and tags of others always', async (t) => {
  const cluster = clusterWith({ errorShare: 1 })
  const mine = { revisionName: 'order-00001', latestRevision: false, percent: 0, tag: 'mine' }
  cluster.object.spec.traffic?.push(mine)
  await rollOut(fakeWorld(cluster).world, { ...fakePlan, keepTag: true })
  t.deepEqual(cluster.object.spec.traffic, [
    { revisionName: 'order-00001', latestRevision: false, percent: 100 },
    { revisionName: 'order-00002', latestRevision: false, percent: 0, tag: 'candidate' },
    mine,
  ])
})

test('rollout – does nothing with the image that is there, a tag in use, or traffic that others have split', async (t) => {
  const cluster = clusterWith()
  const same = await rollOut(fakeWorld(cluster).world, { ...fakePlan, image: 'dev.example/order:old' })
  t.is(same.outcome, 'unchanged')
  cluster.object.spec.traffic?.push({ latestRevision: true, percent: 0, tag: 'candidate' })
  await t.throwsAsync(rollOut(fakeWorld(cluster).world, fakePlan), {
    instanceOf: TrafficError,
    message: /tag "candidate"/,
  })
  await rollOut(fakeWorld(cluster).world, { ...fakePlan, tag: 'other' })
  cluster.object.spec.traffic = [
    { revisionName: 'order-00001', percent: 40 },
    { revisionName: 'order-00002', percent: 60 },
  ]
  cluster.advance(500)
  const before = structuredClone(cluster.object.spec)
  await t.throwsAsync(rollOut(fakeWorld(cluster).world, { ...fakePlan, image: 'dev.example/order:third' }), {
    instanceOf: TrafficError,
    message: /split/,
  })
  t.deepEqual(cluster.object.spec, before)
})

test('rollout – what others change in the template meanwhile stays, and gets no traffic', async (t) => {
  const cluster = clusterWith()
  const { world } = fakeWorld(cluster)
  let done = false
  cluster.onTime = () => {
    if (done || readState(cluster.object)?.percent !== 10) return
    done = true
    cluster.setImage('dev.example/order:third')
  }
  t.is((await rollOut(world, fakePlan)).outcome, 'finished')
  cluster.advance(5_000)
  t.deepEqual(cluster.shares(), { new: 100 })
  t.is(templateImage(cluster), 'third')
  t.deepEqual(cluster.object.spec.traffic, [{ revisionName: 'order-00002', latestRevision: false, percent: 100 }])
})

test('rollout – a second one is refused while the first lives', async (t) => {
  const cluster = clusterWith()
  const second = fakeWorld(cluster, { id: 'two' })
  let refused: Promise<unknown> | undefined
  cluster.onTime = () => {
    if (readState(cluster.object)?.percent === 10)
      refused ??= rollOut(second.world, { ...fakePlan, image: 'dev.example/order:third' })
    void refused?.catch(() => undefined)
  }
  t.is((await rollOut(fakeWorld(cluster).world, fakePlan)).outcome, 'finished')
  await t.throwsAsync(refused as Promise<unknown>, { instanceOf: LockedError, message: /--abort/ })
  t.deepEqual(cluster.shares(), { new: 100 })
})

test('rollout – ended by --abort from elsewhere, it writes nothing any more', async (t) => {
  const cluster = clusterWith()
  const other = fakeWorld(cluster, { id: 'two' })
  let aborted: Promise<unknown> | undefined
  cluster.onTime = () => {
    if (readState(cluster.object)?.percent !== 10) return
    aborted ??= takeLock(other.world, fakePlan, { force: true }).then(() =>
      restoreInterrupted(other.world, { reason: 'aborted', keepTag: false }),
    )
  }
  await t.throwsAsync(rollOut(fakeWorld(cluster).world, fakePlan), { instanceOf: LostError })
  await aborted
  t.deepEqual(cluster.shares(), { old: 100 })
  t.is(readState(cluster.object)?.reason, 'aborted')
})

test('rollout – Ctrl-C at any moment takes the traffic back before it ends', async (t) => {
  for (let moment = 1; moment < 60_000; moment += 1_500) {
    const cluster = clusterWith()
    const controller = new AbortController()
    cluster.onTime = () => {
      if (cluster.nowMs >= 10_000 + moment) controller.abort()
    }
    const result = await rollOut(fakeWorld(cluster).world, fakePlan, controller.signal)
    if (result.outcome === 'finished') continue
    t.is(result.reason, 'interrupted')
    cluster.advance(1_000)
    t.deepEqual(cluster.shares(), { old: 100 })
    t.is(templateImage(cluster), 'old')
    t.deepEqual(cluster.violations, [])
  }
})

/** Short, for the tests that play it many times. */
const shortPlan = { ...fakePlan, steps: [10, 100], limits: { ...fakePlan.limits, stepMs: 4_000 } }

class Died extends Error {}

test('rollout – a command that dies before any of its calls leaves what the next run puts right', async (t) => {
  const whole = clusterWith()
  await rollOut(fakeWorld(whole).world, shortPlan)
  const writes = whole.calls.filter(
    ({ name }) => name !== 'listPods' && name !== 'readMetrics' && name !== 'readRevision',
  )
  for (const { index } of writes) {
    const cluster = clusterWith()
    cluster.fault = (call) => {
      if (call.index >= index) throw new Died()
      return undefined
    }
    // Its last calls give the lock back; without them the rollout is finished all the same.
    await rollOut(fakeWorld(cluster).world, shortPlan).then(
      () => t.is(readState(cluster.object)?.phase, 'finished'),
      () => undefined,
    )
    cluster.fault = () => undefined
    cluster.advance(3_000)
    const phase = readState(cluster.object)?.phase
    const next = await rollOut(fakeWorld(cluster, { id: 'two' }).world, shortPlan)
    t.true(
      phase === 'finished' ? next.outcome === 'unchanged' : next.outcome === 'finished',
      `${index}: ${phase} ${next.outcome}`,
    )
    cluster.advance(1_000)
    t.deepEqual(cluster.shares(), { new: 100 })
    t.deepEqual(cluster.violations, [])
  }
})

const oneFault =
  (index: number, kind: 'before' | 'after'): Fault =>
  (call) => {
    if (call.index !== index) return undefined
    if (kind === 'before') throw new Error('connection reset')
    return 'after'
  }

test('rollout – one call that fails, or whose answer is lost, ends with the traffic in one place', async (t) => {
  const whole = clusterWith()
  await rollOut(fakeWorld(whole).world, shortPlan)
  for (const kind of ['before', 'after'] as const) {
    for (const { index, name } of whole.calls) {
      if (name === 'readMetrics' || (name === 'listPods' && index % 7 !== 0)) continue
      const cluster = clusterWith()
      cluster.fault = oneFault(index, kind)
      const { world } = fakeWorld(cluster)
      const outcome = await rollOut(world, shortPlan).then(
        (result) => result.outcome,
        () => 'thrown' as const,
      )
      if (outcome === 'thrown') {
        await takeLock(fakeWorld(cluster, { id: 'two' }).world, shortPlan, { force: true })
        await restoreInterrupted(fakeWorld(cluster, { id: 'two' }).world, { reason: 'aborted', keepTag: false })
      }
      // A write that was done is seen to be done.
      if (kind === 'after' && name === 'patchService') t.is(outcome, 'finished')
      cluster.advance(1_000)
      const phase = readState(cluster.object)?.phase
      const expected = phase === 'finished' ? 'new' : 'old'
      t.deepEqual(cluster.shares(), { [expected]: 100 }, `${kind} call ${index} ${name}: ${outcome}`)
      t.is(templateImage(cluster), expected, `${kind} call ${index} ${name}: ${outcome} ${phase}`)
      t.deepEqual(cluster.violations, [])
    }
  }
})
