import test from 'ava'
import { percentile } from './percentiles.ts'

test('percentile – nearest rank', (t) => {
  const samples = [5, 1, 4, 2, 3]
  t.is(percentile(samples, 0.5), 3)
  t.is(percentile(samples, 0.99), 5)
  t.is(percentile(samples, 0.2), 1)
  t.is(percentile([], 0.5), 0)
})
