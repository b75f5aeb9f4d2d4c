/** Limits of places and time: who is turned away, who is given up, and that the places come free again. */
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { problem, started } from './serve-client.fixture.ts'

test('overload – is a problem with Retry-After; health and hot routes are still answered; afterwards all is as before', async (t) => {
  const { call, state } = await started(t, { MAX_IN_FLIGHT: '3' })
  const held = Array.from({ length: 3 }, async () => call('/probe/held'))
  while (state.held < 3) await sleep(5)
  for (const path of ['/probe/items/x1', '/probe/held', '/nowhere']) {
    const refused = await call(path)
    problem(t, refused, 503, 'overloaded')
    t.is(refused.headers.get('retry-after'), '1')
  }
  t.is((await call('/health/liveness')).status, 200)
  t.is((await call('/probe/hot/a')).status, 200)
  state.release()
  t.deepEqual(
    (await Promise.all(held)).map(({ status }) => status),
    [200, 200, 200],
  )
  t.is((await call('/probe/items/x1')).status, 200)
})

test('time – a handler that does not answer is given up and its signal aborted', async (t) => {
  const { call, state } = await started(t)
  const answer = await call('/probe/hangs')
  problem(t, answer, 503, 'dependency-unavailable')
  t.true(state.sawAbort)
})

test('client that goes away – frees its place', async (t) => {
  const { call, state } = await started(t, { MAX_IN_FLIGHT: '1' })
  const leaving = new AbortController()
  const gone = call('/probe/held', { signal: leaving.signal })
  while (state.held < 1) await sleep(5)
  leaving.abort()
  await t.throwsAsync(gone)
  let status = 503
  for (let round = 0; status === 503 && round < 200; round++) {
    ;({ status } = await call('/probe/items/x1'))
    await sleep(5)
  }
  t.is(status, 200)
})
