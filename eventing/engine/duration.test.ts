import test from 'ava'
import { parseDuration } from './duration.ts'

test('parseDuration – days, hours, minutes and seconds add up', (t) => {
  t.is(parseDuration('PT0.5S'), 500)
  t.is(parseDuration('P1DT2H'), 93_600_000)
  t.is(parseDuration('PT1H2M3.25S'), 3_723_250)
  t.is(parseDuration('PT0S'), 0)
})

test('parseDuration – what is no such duration is undefined', (t) => {
  for (const text of ['', 'P', 'PT', 'P1DT', '5s', 'PT5', 'P1M', 'P1Y', '-PT1S', 'pt1s', 'PT1S ', 'PT1M2H', 'PT.5S'])
    t.is(parseDuration(text), undefined, text)
})

test('parseDuration – longer than a timer can wait is refused', (t) => {
  t.is(parseDuration('P24D'), 2_073_600_000)
  t.is(parseDuration('P25D'), undefined)
  t.is(parseDuration(`PT${'9'.repeat(400)}S`), undefined)
})
