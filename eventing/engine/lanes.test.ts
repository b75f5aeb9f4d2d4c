import test from 'ava'
import * as fc from 'fast-check'
import { Lanes } from './lanes.ts'

type Job = { key: string; number: number; resolve: (settled: boolean) => void }

/** Lanes whose deliveries end when the test says so. */
function controlled(options: { ordered: boolean; concurrency: number }) {
  const running: Job[] = []
  const lanes = new Lanes<{ key: string; number: number }>({
    ...options,
    run: ({ key, number }) => {
      const { promise, resolve } = Promise.withResolvers<boolean>()
      running.push({ key, number, resolve })
      return promise
    },
  })
  const end = async (index: number, settled = true) => {
    const [job] = running.splice(index, 1)
    job!.resolve(settled)
    await new Promise((resolve) => setImmediate(resolve))
    return job!
  }
  return { lanes, running, end }
}

const numbersOf = (jobs: { number: number }[]) => jobs.map(({ number }) => number)

test('Lanes – the watermark does not pass a record that is not settled', async (t) => {
  const { lanes, end } = controlled({ ordered: false, concurrency: 10 })
  for (const number of [0, 1, 2]) lanes.push(BigInt(number), '', { key: '', number })
  t.is(lanes.watermark, undefined)
  await end(1)
  await end(1)
  t.is(lanes.watermark, undefined)
  t.is(lanes.size, 3)
  await end(0)
  t.is(lanes.watermark, 3n)
  t.is(lanes.size, 0)
})

test('Lanes – records that are skipped move the watermark, but not past one that runs', async (t) => {
  const { lanes, end } = controlled({ ordered: true, concurrency: 10 })
  lanes.skip(5n)
  t.is(lanes.watermark, 6n)
  lanes.push(7n, 'a', { key: 'a', number: 7 })
  lanes.skip(8n)
  t.is(lanes.watermark, 6n)
  await end(0)
  t.is(lanes.watermark, 9n)
})

test('Lanes – ordered: one record of a key at a time, keys side by side', async (t) => {
  const { lanes, running, end } = controlled({ ordered: true, concurrency: 10 })
  for (const [number, key] of ['a', 'a', 'b', 'a', 'b'].entries()) lanes.push(BigInt(number), key, { key, number })
  t.deepEqual(numbersOf(running), [0, 2])
  await end(0)
  t.deepEqual(numbersOf(running), [2, 1])
  await end(0)
  t.deepEqual(numbersOf(running), [1, 4])
})

test('Lanes – concurrency is never exceeded', async (t) => {
  const { lanes, running, end } = controlled({ ordered: false, concurrency: 2 })
  for (let number = 0; number < 5; number += 1) lanes.push(BigInt(number), '', { key: '', number })
  t.deepEqual(numbersOf(running), [0, 1])
  await end(0)
  t.deepEqual(numbersOf(running), [1, 2])
})

test('Lanes – closing starts nothing more and waits for what runs', async (t) => {
  const { lanes, running, end } = controlled({ ordered: true, concurrency: 2 })
  for (const [number, key] of ['a', 'a', 'b', 'c'].entries()) lanes.push(BigInt(number), key, { key, number })
  let closed = false
  const closing = lanes.close().then(() => (closed = true))
  await end(0)
  t.false(closed)
  t.deepEqual(numbersOf(running), [2])
  await end(0, false)
  await closing
  t.is(lanes.watermark, 1n)
})

test('Lanes – calls back once when few enough are held', async (t) => {
  const { lanes, end } = controlled({ ordered: false, concurrency: 10 })
  for (let number = 0; number < 4; number += 1) lanes.push(BigInt(number), '', { key: '', number })
  let calls = 0
  lanes.onceBelow(2, () => (calls += 1))
  await end(0)
  t.is(calls, 0)
  await end(0)
  await end(0)
  t.is(calls, 1)
})

test('Lanes – for any keys and any order of ends, each key is in order and the end watermark covers everything', async (t) => {
  const keys = fc.array(fc.constantFrom('a', 'b', 'c', undefined), { maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(
      keys,
      fc.integer({ min: 1, max: 5 }),
      fc.infiniteStream(fc.nat()),
      async (all, concurrency, choices) => {
        const { lanes, running, end } = controlled({ ordered: true, concurrency })
        const done: Job[] = []
        all.forEach((key, number) => {
          if (key === undefined) lanes.skip(BigInt(number))
          else lanes.push(BigInt(number), key, { key, number })
        })
        while (running.length > 0) {
          if (running.length > concurrency) throw new Error('too many at once')
          if (new Set(running.map(({ key }) => key)).size < running.length) throw new Error('a key twice at once')
          done.push(await end(choices.next().value % running.length))
          const settled = new Set(numbersOf(done))
          const first = all.findIndex((key, number) => key !== undefined && !settled.has(number))
          const expected = first === -1 ? all.length : first
          const watermark = Number(lanes.watermark ?? 0n)
          if (watermark !== expected) throw new Error(`watermark ${watermark}, expected ${expected}`)
        }
        for (const ofKey of Map.groupBy(done, ({ key }) => key).values()) {
          if (numbersOf(ofKey).some((number, index) => index > 0 && number < ofKey[index - 1]!.number))
            throw new Error('out of order')
        }
        return done.length === all.filter((key) => key !== undefined).length
      },
    ),
    { numRuns: 200 },
  )
  t.pass()
})
