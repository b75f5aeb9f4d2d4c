import test from 'ava'
import { createPasswords, parsePhc } from './password.ts'
import { createWorkQueue } from './work-queue.ts'

const options = { memoryKib: 64, passes: 1, parallelism: 1, concurrency: 2, queueLimit: 100 }

test('passwords – match what was hashed, and nothing else', async (t) => {
  const passwords = createPasswords(options)
  const stored = await passwords.hash('correct horse')
  t.regex(stored, /^\$argon2id\$v=19\$m=64,t=1,p=1\$/)
  t.not(stored, await passwords.hash('correct horse'), 'a salt of its own')
  t.deepEqual(await passwords.matches('correct horse', stored), { matches: true, outdated: false })
  t.false((await passwords.matches('Correct horse', stored)).matches)
  t.false((await passwords.matches('correct horse', undefined)).matches)
  t.false((await passwords.matches('correct horse', 'rubbish')).matches)
  // Composed and decomposed: the same for who types it.
  t.true((await passwords.matches('caf\u00e9', await passwords.hash('cafe\u0301'))).matches)
})

test('passwords – made with other parameters still match and are to be hashed again', async (t) => {
  const old = await createPasswords({ ...options, memoryKib: 32 }).hash('correct horse')
  t.deepEqual(await createPasswords(options).matches('correct horse', old), { matches: true, outdated: true })
})

test('passwords – a row with parameters beyond reason is no hash', (t) => {
  t.is(parsePhc('$argon2id$v=19$m=9999999,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2g'), undefined)
})

test('work queue – so many at once, so many wait in order, the rest is refused', async (t) => {
  const queue = createWorkQueue({ concurrency: 2, queueLimit: 3 })
  const gates: (() => void)[] = []
  const begun: number[] = []
  let most = 0
  let running = 0
  const work = (index: number) => async () => {
    begun.push(index)
    running += 1
    most = Math.max(most, running)
    await new Promise<void>((resolve) => gates.push(resolve))
    running -= 1
  }
  const all = Array.from({ length: 5 }, (_, index) => queue.run(work(index)))
  await t.throwsAsync(queue.run(work(9)), { message: /Too many/ })
  while (gates.length > 0 || begun.length < 5) {
    gates.shift()?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  await Promise.all(all)
  t.deepEqual(begun, [0, 1, 2, 3, 4])
  t.is(most, 2)
  t.is(queue.waiting, 0)
})

test('work queue – who went away while waiting takes no turn, and a failure frees its place', async (t) => {
  const queue = createWorkQueue({ concurrency: 1, queueLimit: 3 })
  const gone = new AbortController()
  const failing = queue.run(async () => {
    throw new Error('failed')
  })
  const waiting = queue.run(async () => 'never', gone.signal)
  gone.abort(new Error('gone'))
  await t.throwsAsync(failing, { message: 'failed' })
  await t.throwsAsync(waiting, { message: 'gone' })
  t.is(await queue.run(async () => 'next'), 'next')
})
