import test from 'ava'
import { getJsonPatiently, ReadError } from './kube-read.ts'

/** Answers in turn; an error is thrown. */
function server(...answers: (Response | Error)[]) {
  let calls = 0
  const get = async () => {
    const answer = answers[calls++]!
    if (answer instanceof Error) throw answer
    return answer
  }
  return { api: { get }, calls: () => calls }
}
const timeout = () => new DOMException('The operation was aborted due to timeout', 'TimeoutError')

/** A clock that only waiting moves. */
function clock() {
  let nowMs = 0
  return { nowMs: () => nowMs, sleep: async (durationMs: number) => void (nowMs += durationMs) }
}

test('getJsonPatiently – a server that was busy or away for a moment is asked again', async (t) => {
  const refused = new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') })
  const away = Response.json({ message: 'nobody there' }, { status: 502 })
  const { api } = server(timeout(), refused, away, Response.json({ items: [1] }))
  t.deepEqual(await getJsonPatiently(api, '/pods', clock()), { items: [1] })
})

test('getJsonPatiently – not for ever, and not after an answer', async (t) => {
  const busy = server(...Array.from({ length: 100 }, timeout))
  await t.throwsAsync(getJsonPatiently(busy.api, '/pods', clock()), { name: 'TimeoutError' })
  // Pauses of half a second to five, two minutes long.
  t.true(busy.calls() > 20 && busy.calls() < 35, `${busy.calls()}`)
  const refusing = server(Response.json({ message: 'no' }, { status: 403 }), Response.json({}))
  await t.throwsAsync(getJsonPatiently(refusing.api, '/pods', clock()), { instanceOf: ReadError })
  t.is(refusing.calls(), 1)
})
