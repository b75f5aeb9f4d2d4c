import test from 'ava'
import * as fc from 'fast-check'
import { describeFigures, judge, type Limits, type Observation } from './judge.ts'

const limits: Limits = {
  maxErrorRate: 0.01,
  maxP99Ms: 500,
  minRequests: 50,
  stepMs: 60_000,
  maxStepMs: 600_000,
  fewRequests: 'fail',
}
const figures = (requests: number, errors: number, fast = requests) => ({
  requests,
  errors,
  buckets: new Map([
    [100, fast],
    [1_000, requests],
    [Infinity, requests],
  ]),
})
const seen = (change: Partial<Observation>): Observation => ({
  figures: figures(1_000, 0),
  elapsedMs: 60_000,
  complete: true,
  faults: [],
  ...change,
})

test('judge – good at the end of the step, and not before', (t) => {
  t.deepEqual(judge(seen({}), limits), { verdict: 'good' })
  t.deepEqual(judge(seen({ elapsedMs: 59_999 }), limits), { verdict: 'wait' })
})

test('judge – errors at the limit are good, one more is bad at once', (t) => {
  t.is(judge(seen({ figures: figures(1_000, 10) }), limits).verdict, 'good')
  t.deepEqual(judge(seen({ figures: figures(1_000, 11), elapsedMs: 1 }), limits), {
    verdict: 'bad',
    reason: '11 of 1000 requests failed with 500 or more (1.1 %; allowed 1 %)',
  })
})

test('judge – a single error among few requests waits until it is sure', (t) => {
  const generous = { ...limits, maxErrorRate: 0.1 }
  t.is(judge(seen({ figures: figures(3, 3), elapsedMs: 1 }), generous).verdict, 'wait')
  t.is(judge(seen({ figures: figures(6, 6), elapsedMs: 1 }), generous).verdict, 'bad')
})

test('judge – p99 above its limit is bad, with the figure', (t) => {
  t.is(judge(seen({ figures: figures(1_000, 0, 995) }), limits).verdict, 'good')
  const verdict = judge(seen({ figures: figures(1_000, 0, 980) }), limits)
  t.deepEqual(verdict, { verdict: 'bad', reason: 'p99 was 550 ms over 1000 requests; allowed are 500 ms' })
})

test('judge – too few requests wait for more, then follow the policy', (t) => {
  const few = seen({ figures: figures(49, 0), elapsedMs: 599_999 })
  t.is(judge(few, limits).verdict, 'wait')
  const late = { ...few, elapsedMs: 600_000 }
  t.is(judge(late, limits).verdict, 'bad')
  t.like(judge(late, { ...limits, fewRequests: 'continue' }), {
    verdict: 'good',
    note: 'not judged: only 49 requests in 600 s, judged are at least 50',
  })
})

test('judge – nothing is good while a pod is not seen, whatever the policy', (t) => {
  const blind = seen({ complete: false })
  t.is(judge(blind, limits).verdict, 'wait')
  t.is(judge({ ...blind, elapsedMs: 600_000 }, { ...limits, fewRequests: 'continue' }).verdict, 'bad')
})

test('judge – a restarted container is bad at once', (t) => {
  t.deepEqual(judge(seen({ faults: ['container a was restarted'], elapsedMs: 1 }), limits), {
    verdict: 'bad',
    reason: 'container a was restarted',
  })
})

const observations = fc.record({
  requests: fc.nat(5_000),
  errorShare: fc.double({ min: 0, max: 1, noNaN: true }),
  elapsedMs: fc.nat(700_000),
  complete: fc.boolean(),
  policy: fc.constantFrom('fail' as const, 'continue' as const),
})

test('judge – whatever is seen: never good above the limits, always an end, more errors are never better', (t) => {
  fc.assert(
    fc.property(observations, ({ requests, errorShare, elapsedMs, complete, policy }) => {
      const errors = Math.floor(requests * errorShare)
      const own = { ...limits, fewRequests: policy }
      const verdict = judge({ figures: figures(requests, errors), elapsedMs, complete, faults: [] }, own).verdict
      if (verdict === 'good') {
        t.true(complete && elapsedMs >= limits.stepMs)
        if (requests >= limits.minRequests) t.true(errors / requests <= limits.maxErrorRate)
        else t.is(policy, 'continue')
      }
      if (elapsedMs >= limits.maxStepMs) t.not(verdict, 'wait')
      const worse = judge(
        { figures: figures(requests, Math.min(errors + 1, requests)), elapsedMs, complete, faults: [] },
        own,
      )
      if (verdict === 'bad') t.is(worse.verdict, 'bad')
    }),
  )
})

test('judge – figures are told with their rates', (t) => {
  t.is(describeFigures(figures(200, 1)), '200 requests, 1 errors (0.5 %), p50 50 ms, p99 99 ms')
  t.is(describeFigures(figures(0, 0)), 'no requests')
})
