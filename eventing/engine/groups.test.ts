import { execFile } from 'node:child_process'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { consumerGroups, type ConsumerGroup } from './groups.ts'
import { readManifests } from './load-manifests.ts'

const folder = fileURLToPath(new URL('../manifests', import.meta.url))

test('consumerGroups – names each group of the platform as the engine joins it', async (t) => {
  const groups = consumerGroups(await readManifests(folder))
  const byName = new Map(groups.map((group) => [group.consumer, group]))
  t.like(byName.get('trigger/stampede/activity-ordered'), {
    groupId: 'knative-trigger-stampede-activity-ordered',
    topics: ['knative-broker-stampede-default'],
    partitions: 12,
    scaling: { 'lag-threshold': '100' },
  })
  t.like(byName.get('source/stampede/seckill-orders'), {
    groupId: 'stampede-order-seckill-orders',
    topics: ['seckill.orders'],
    partitions: 8,
  })
  t.is(new Set(groups.map(({ groupId }) => groupId)).size, groups.length)
})

test('consumerGroups – without the number of a topic’s partitions there is none', (t) => {
  const source = {
    apiVersion: 'sources.knative.dev/v1',
    kind: 'KafkaSource',
    metadata: { name: 'orders', namespace: 'shop' },
    spec: { topics: ['somewhere'], sink: { uri: 'http://127.0.0.1:9/' } },
  }
  t.deepEqual(consumerGroups([{ origin: 'source.yaml', value: source }]), [
    {
      consumer: 'source/shop/orders',
      groupId: 'knative-kafka-source-shop-orders',
      topics: ['somewhere'],
      partitions: undefined,
      scaling: {},
    },
  ])
})

test('main --groups – prints them as JSON and needs no Kafka', async (t) => {
  const main = fileURLToPath(new URL('main.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [main, '--groups'], { env: { MANIFESTS: folder } })
  t.deepEqual(
    (JSON.parse(stdout) as ConsumerGroup[]).map(({ groupId }) => groupId),
    consumerGroups(await readManifests(folder)).map(({ groupId }) => groupId),
  )
})
