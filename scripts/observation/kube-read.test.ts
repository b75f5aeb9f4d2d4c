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

test('getJsonPatiently – a server that was busy for a moment is asked again', async (t) => {
  const { api } = server(timeout(), timeout(), Response.json({ items: [1] }))
  t.deepEqual(await getJsonPatiently(api, '/pods'), { items: [1] })
})

test('getJsonPatiently – not for ever, and not after an answer', async (t) => {
  const busy = server(timeout(), timeout(), timeout(), Response.json({}))
  await t.throwsAsync(getJsonPatiently(busy.api, '/pods'), { name: 'TimeoutError' })
  t.is(busy.calls(), 3)
  const refusing = server(Response.json({ message: 'no' }, { status: 403 }), Response.json({}))
  await t.throwsAsync(getJsonPatiently(refusing.api, '/pods'), { instanceOf: ReadError })
  t.is(refusing.calls(), 1)
})
