import test from 'ava'
import * as fc from 'fast-check'
import type { KnativeService } from './kube-objects.ts'
import { readSteps, sharesOf, splitTraffic, stableRevision, tagsOfOthers, TrafficError } from './traffic.ts'

const serviceWith = (traffic: NonNullable<KnativeService['status']>['traffic']) =>
  ({ metadata: { name: 'order' }, status: { traffic } }) as unknown as KnativeService

test('traffic – the stable revision is the only one with a share', (t) => {
  t.is(
    stableRevision(
      serviceWith([
        { revisionName: 'a', percent: 100, latestRevision: true },
        { revisionName: 'b', percent: 0, tag: 'x' },
      ]),
    ),
    'a',
  )
  t.is(
    stableRevision(
      serviceWith([
        { revisionName: 'a', percent: 40 },
        { revisionName: 'a', percent: 60, tag: 'x' },
      ]),
    ),
    'a',
  )
  t.throws(() => stableRevision(serviceWith([])), { instanceOf: TrafficError, message: /no revision with traffic/ })
  t.throws(
    () =>
      stableRevision(
        serviceWith([
          { revisionName: 'a', percent: 1 },
          { revisionName: 'b', percent: 99 },
        ]),
      ),
    {
      instanceOf: TrafficError,
      message: /a 1 %, b 99 %/,
    },
  )
})

test('traffic – every split adds up to 100, names every share, and keeps the tags of others', (t) => {
  const others = fc.array(
    fc.record({
      tag: fc.constantFrom('a', 'b', 'candidate'),
      revisionName: fc.constantFrom('one', 'two'),
      percent: fc.nat(100),
    }),
  )
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 100 }), others, (percent, found) => {
      const kept = tagsOfOthers([{ latestRevision: true, percent: 100 }, ...found], 'candidate')
      const traffic = splitTraffic({ stable: 'old', candidate: 'new', percent, tag: 'candidate', others: kept })
      t.is(
        traffic.reduce((sum, target) => sum + (target.percent ?? 0), 0),
        100,
      )
      t.true(traffic.every(({ latestRevision, percent: share = 0 }) => latestRevision !== true || share === 0))
      t.is(sharesOf(traffic).get('new') ?? 0, percent)
      t.is(traffic.length, 2 + found.filter(({ tag }) => tag !== 'candidate').length)
      t.is(traffic.filter(({ tag }) => tag === 'candidate').length, 1)
    }),
  )
})

test('traffic – a share that is none is refused', (t) => {
  t.throws(() => splitTraffic({ stable: 'a', candidate: 'b', percent: 101, others: [] }))
  t.throws(() => splitTraffic({ stable: 'a', percent: 1, others: [] }))
})

test('traffic – steps rise and end with 100', (t) => {
  t.deepEqual(readSteps('1, 10,50,100'), [1, 10, 50, 100])
  t.deepEqual(readSteps('100'), [100])
  for (const text of ['', '1,10', '10,5,100', '0,100', '1,1,100', '1.5,100', '1,,100', 'all', '1,200'])
    t.throws(() => readSteps(text), { instanceOf: TrafficError }, text)
})
