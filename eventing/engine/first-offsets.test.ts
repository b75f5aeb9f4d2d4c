/** What is committed and when; on a real Kafka `consumer.test.ts` shows it. */
import test from 'ava'
import type { Admin, Consumer } from 'kafkajs'
import { FirstOffsets, type StartOffset } from './first-offsets.ts'

const start = (partition: number, offset: string): StartOffset => ({ topic: 'events', partition, offset })

/** Calls of the consumer, in their order. */
function stage(committed: readonly StartOffset[]) {
  const calls: string[] = []
  let asked = 0
  const consumer = {
    pause: () => void calls.push('pause'),
    resume: () => void calls.push('resume'),
    seek: ({ partition, offset }: StartOffset) => void calls.push(`seek ${partition} to ${offset}`),
    commitOffsets: async (offsets: StartOffset[]) => void calls.push(`commit ${offsets.length}`),
  } as unknown as Consumer
  const first = new FirstOffsets({
    plan: { groupId: 'group' },
    startOffsets: [start(0, '5'), start(1, '7')],
    fetchCommitted: async () => {
      asked += 1
      return committed
    },
  })
  const fix = (places: readonly string[], isCurrent = () => true) =>
    first.fix(consumer, { has: (place) => places.includes(place), isCurrent, running: Promise.resolve() })
  return { calls, first, fix, asked: () => asked }
}

test('first offsets – what nobody has committed is, before anything is read, and once', async (t) => {
  const { calls, fix, asked } = stage([start(0, '-1'), start(1, '3')])
  t.true(await fix(['events/0', 'events/1']))
  t.deepEqual(calls, ['pause', 'seek 0 to 5', 'commit 1', 'resume'])
  t.true(await fix(['events/0', 'events/1']))
  t.is(asked(), 1)
})

test('first offsets – only partitions of the assignment', async (t) => {
  const { calls, fix, asked } = stage([])
  t.true(await fix(['events/9']))
  t.deepEqual([calls, asked()], [[], 0])
  t.true(await fix(['events/1']))
  t.deepEqual(calls, ['pause', 'seek 1 to 7', 'commit 1', 'resume'])
})

test('first offsets – an assignment that is over commits nothing, and the next one does', async (t) => {
  const { calls, fix } = stage([])
  t.false(await fix(['events/0'], () => false))
  t.deepEqual(calls, ['pause'])
  t.true(await fix(['events/0']))
  t.deepEqual(calls, ['pause', 'pause', 'seek 0 to 5', 'commit 1', 'resume'])
})

test('first offsets – where the group is, is asked once for each assignment; without a commit it is where it begins', async (t) => {
  const { first } = stage([])
  let asked = 0
  const admin = {
    fetchOffsets: async () => {
      asked += 1
      return [{ topic: 'events', partitions: [start(0, '-1'), start(1, '9')] }]
    },
  } as unknown as Admin
  t.deepEqual([await first.find(admin, 'events', 0), await first.find(admin, 'events', 1)], [5n, 9n])
  t.is(asked, 1)
  first.forget()
  t.is(await first.find(admin, 'events', 1), 9n)
  t.is(asked, 2)
})
