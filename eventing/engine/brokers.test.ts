import test from 'ava'
import { waitForBrokers } from './brokers.ts'
import { silentLog } from './log.ts'

/** A Kafka that one more broker joins at each question; `stay` is how many there are in the end. */
function growing(stay: number, existing: string[] = []) {
  const kafka = { asked: 0 }
  const admin = {
    listTopics: async () => existing,
    describeCluster: async () => {
      kafka.asked += 1
      const brokers = Array.from({ length: Math.min(kafka.asked, stay) }, (_, nodeId) => ({
        nodeId,
        host: 'x',
        port: 1,
      }))
      return { brokers, controller: null, clusterId: 'x' }
    },
  }
  return { kafka, admin }
}
const topics = [
  { topic: 'a', partitions: 1, replicationFactor: 3 },
  { topic: 'b', partitions: 1 },
]

test('waitForBrokers – waits for as many as there are copies to make', async (t) => {
  const { kafka, admin } = growing(3)
  await waitForBrokers(admin, topics, 3, { timeoutMs: 60_000, pauseMs: 1, log: silentLog })
  t.is(kafka.asked, 3)
})

test('waitForBrokers – one address does not promise more than one broker', async (t) => {
  const { kafka, admin } = growing(1)
  await waitForBrokers(admin, topics, 1, { timeoutMs: 60_000, pauseMs: 1, log: silentLog })
  t.is(kafka.asked, 1)
})

test('waitForBrokers – topics that exist have their copies; a broker that is away holds up nobody', async (t) => {
  const { kafka, admin } = growing(2, ['a'])
  await waitForBrokers(admin, topics, 3, { timeoutMs: 60_000, pauseMs: 1, log: silentLog })
  t.is(kafka.asked, 1)
})

test('waitForBrokers – goes on after its time, and says so', async (t) => {
  const { admin } = growing(2)
  const warnings: object[] = []
  const log = { ...silentLog, warn: (fields: object) => void warnings.push(fields) }
  await waitForBrokers(admin, topics, 3, { timeoutMs: 20, pauseMs: 1, log })
  t.deepEqual(warnings, [{ brokers: 2, wanted: 3 }])
})
