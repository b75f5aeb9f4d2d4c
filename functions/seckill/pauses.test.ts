import test from 'ava'
import { createPauses } from './pauses.ts'

const longMs = 600_000

test('pauses – a pause ends when its time is over, and nothing of it is kept', async (t) => {
  const pauses = createPauses()
  const pause = pauses.sleep(1)
  t.is(pauses.size(), 1)
  await pause
  t.is(pauses.size(), 0)
})

test('pauses – all that are under way end at once, later ones take their time', async (t) => {
  const pauses = createPauses()
  const under = [pauses.sleep(longMs), pauses.sleep(longMs)]
  pauses.endAll()
  await Promise.all(under)
  t.is(pauses.size(), 0)
  let over = false
  const later = pauses.sleep(longMs).then(() => (over = true))
  await new Promise((resolve) => setImmediate(resolve))
  t.false(over)
  pauses.endAll()
  await later
  t.true(over)
})
