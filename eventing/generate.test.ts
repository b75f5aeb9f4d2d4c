import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { parse, parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { defineFunction, every, on, type AnyFunction } from '@stampede/shared/function/declaration.ts'
import { functions } from '../functions/index.ts'
import { activityPaused, catalogue, orderCancelled, orderCreated, purchaseAccepted } from './catalogue/events.ts'
import { readManifests } from './engine/load-manifests.ts'
import { planEngine } from './engine/plan.ts'
import { generate } from './generate.ts'

// oxlint-disable typescript/no-explicit-any -- manifests are checked member by member

const root = new URL('../', import.meta.url)
const nothing = async () => {}

function sample(name: string, more: Partial<AnyFunction>): AnyFunction {
  return defineFunction({ name, summary: name, config: z.object({}), connect: () => ({}), routes: [], ...more })
}

async function manifestsOf(definitions: AnyFunction[], file: string): Promise<Record<string, any>[]> {
  const files = await generate(definitions)
  const found = files.find(({ path }) => path === `eventing/manifests/generated/${file}.yaml`)!
  return parseAllDocuments(found.content).map((document) => document.toJS())
}

test('generated files – are what the declarations and the catalogue yield ("npm run generate")', async (t) => {
  for (const { path, content } of await generate(functions)) {
    t.is(await readFile(new URL(path, root), 'utf8').catch(() => 'missing'), content, path)
  }
})

test('generated files – nothing of an earlier time is left in their folders', async (t) => {
  const made = new Set((await generate(functions)).map(({ path }) => path))
  for (const folder of ['eventing/manifests/generated', 'eventing/generated']) {
    const entries = await readdir(new URL(folder, root), { recursive: true, withFileTypes: true })
    for (const entry of entries.filter((each) => each.isFile())) {
      const path = `${entry.parentPath}/${entry.name}`.slice(fileURLToPath(root).length)
      t.true(made.has(path), path)
    }
  }
})

test('manifests of the repository – the engine can run all of them', async (t) => {
  const plan = planEngine(await readManifests(fileURLToPath(new URL('manifests', import.meta.url))))
  t.deepEqual([...plan.ingress.keys()].toSorted(), [
    '/stampede/dead-letter',
    '/stampede/default',
    '/stampede/seckill-orders',
  ])
  t.deepEqual(plan.expectedTopics, [], 'every topic that is read is created by a manifest')
  const subscriptions = functions.flatMap(({ events = [] }) => events)
  t.true(subscriptions.length > 0)
  for (const { delivery, name } of plan.consumers) t.truthy(delivery.deadLetter, `${name} has a dead-letter sink`)
})

test('manifests of the repository – each subscription of a function is delivered by exactly one consumer', async (t) => {
  const plan = planEngine(await readManifests(fileURLToPath(new URL('manifests', import.meta.url))))
  for (const { name, events = [] } of functions) {
    for (const { event, options } of events) {
      const consumers = plan.consumers.filter(
        ({ subscriber, topics, filter }) =>
          subscriber.name === `Service/stampede/${name}` &&
          topics.includes(options.kafkaTopic ?? 'knative-broker-stampede-default') &&
          filter({ type: event.type }),
      )
      t.is(consumers.length, 1, `${name}: ${event.type}`)
      t.is(consumers[0]!.ordered, options.ordered ?? false, `${name}: ${event.type}`)
    }
  }
})

test('manifests of the repository – kustomize lists each file, for a broker and for the engine', async (t) => {
  const names = (await readdir(new URL('manifests/', import.meta.url), { recursive: true })).filter(
    (name) => name.endsWith('.yaml') && name !== 'kustomization.yaml',
  )
  const forBroker = parse(await readFile(new URL('kustomization.yaml', import.meta.url), 'utf8')) as {
    resources: string[]
  }
  t.deepEqual(forBroker.resources.toSorted(), names.map((name) => `manifests/${name}`).toSorted())
  const forEngine = parse(await readFile(new URL('manifests/kustomization.yaml', import.meta.url), 'utf8')) as {
    configMapGenerator: [{ files: string[] }]
  }
  const [{ files }] = forEngine.configMapGenerator
  t.deepEqual(files.map((file) => file.replace(/^.*=/, '')).toSorted(), names.toSorted())
})

test('Trigger – ordered subscriptions of a function share one, so that order holds over types', async (t) => {
  const buyer = sample('buyer', {
    events: [on(orderCreated, nothing, { ordered: true }), on(orderCancelled, nothing, { ordered: true })],
  })
  const triggers = await manifestsOf([buyer], 'triggers')
  t.is(triggers.length, 1)
  const [{ apiVersion, kind, metadata, spec }] = triggers as [Record<string, any>]
  t.is(apiVersion, 'eventing.knative.dev/v1')
  t.is(kind, 'Trigger')
  t.is(metadata.name, 'buyer-ordered')
  t.is(metadata.annotations['kafka.eventing.knative.dev/delivery.order'], 'ordered')
  t.deepEqual(spec.filters, [
    {
      any: [{ exact: { type: 'io.stampede.order.cancelled.v1' } }, { exact: { type: 'io.stampede.order.created.v1' } }],
    },
  ])
  t.deepEqual(spec.subscriber, {
    ref: { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name: 'buyer' },
    audience: 'stampede/buyer',
  })
})

test('Trigger – the subscriptions of a function that need no order share another one', async (t) => {
  const buyer = sample('buyer', {
    events: [on(orderCreated, nothing), on(orderCancelled, nothing), on(activityPaused, nothing, { ordered: true })],
  })
  const triggers = await manifestsOf([buyer], 'triggers')
  t.deepEqual(
    triggers.map(({ metadata }) => metadata.name),
    ['buyer-ordered', 'buyer-unordered'],
  )
  t.is(triggers[1]!['metadata'].annotations['kafka.eventing.knative.dev/delivery.order'], 'unordered')
  t.deepEqual(triggers[1]!['spec'].filters, [
    {
      any: [{ exact: { type: 'io.stampede.order.cancelled.v1' } }, { exact: { type: 'io.stampede.order.created.v1' } }],
    },
  ])
})

test('KafkaSource – is made for a subscription with a Kafka topic, and no Trigger', async (t) => {
  const buyer = sample('buyer', {
    events: [on(purchaseAccepted, nothing, { kafkaTopic: 'seckill.orders', ordered: true })],
  })
  t.deepEqual(await manifestsOf([buyer], 'triggers'), [])
  const [source] = await manifestsOf([buyer], 'sources')
  t.is(source!['apiVersion'], 'sources.knative.dev/v1')
  t.is(source!['kind'], 'KafkaSource')
  t.is(source!['metadata'].name, 'seckill-orders')
  t.is(source!['metadata'].annotations['autoscaling.eventing.knative.dev/min-scale'], '1')
  t.deepEqual(source!['spec'].topics, ['seckill.orders'])
  t.is(source!['spec'].ordering, 'ordered')
  t.is(source!['spec'].sink.ref.name, 'buyer')
})

test('KafkaSource – two functions that read one topic get one each, with groups of their own', async (t) => {
  const read = { events: [on(purchaseAccepted, nothing, { kafkaTopic: 'seckill.orders' })] }
  const sources = await manifestsOf([sample('a', read), sample('b', read)], 'sources')
  t.deepEqual(
    sources.map(({ metadata }) => metadata.name),
    ['seckill-orders-a', 'seckill-orders-b'],
  )
  t.is(new Set(sources.map(({ spec }) => spec.consumerGroup)).size, 2)
})

test('PingSource – is made for each schedule, in UTC', async (t) => {
  const [ping] = await manifestsOf([sample('buyer', { schedules: [every('sweep', '*/5 * * * *', nothing)] })], 'pings')
  t.is(ping!['apiVersion'], 'sources.knative.dev/v1')
  t.is(ping!['metadata'].name, 'buyer-sweep')
  t.deepEqual(ping!['spec'], {
    schedule: '*/5 * * * *',
    timezone: 'UTC',
    contentType: 'application/json',
    data: '{"function":"buyer","task":"sweep"}',
    sink: {
      ref: { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name: 'buyer' },
      audience: 'stampede/buyer',
    },
  })
})

test('PingSource – functions are spread over the minute, what runs once a day is not', async (t) => {
  const task = (name: string, cron: string) => every(name, cron, nothing)
  const pings = await manifestsOf(
    [
      sample('buyer', { schedules: [task('sweep', '* * * * *'), task('prune', '17 3 * * *')] }),
      sample('admin', { schedules: [task('look', '*/5 * * * *'), task('count', '* * * * *')] }),
    ],
    'pings',
  )
  const seconds = pings.map(({ metadata: { name, annotations } }) => [name, annotations?.['stampede.io/second']])
  t.deepEqual(seconds, [
    // The buyer comes first in the collection.
    ['admin-look', '29'],
    ['admin-count', '29'],
    ['buyer-sweep', '4'],
    ['buyer-prune', undefined],
  ])
})

test('alarms – a function gets its own, and only when it has tasks with alarms', async (t) => {
  const definitions = [
    sample('buyer', {
      schedules: [every('sweep', '5 * * * *', nothing, { alarm: true }), every('prune', '5 3 * * *', nothing)],
    }),
    sample('seller', { schedules: [every('prune', '10 3 * * *', nothing)] }),
    sample('tenant', { schedules: [every('write-directory', '15 * * * *', nothing, { alarm: true })] }),
  ]
  const triggers = await manifestsOf(definitions, 'triggers')
  t.deepEqual(
    triggers.map(({ metadata }) => metadata.name),
    ['buyer-alarms', 'tenant-alarms'],
  )
  t.deepEqual(triggers[0]!['spec'].filters, [{ exact: { type: 'io.stampede.alarm.due.v1', subject: 'buyer' } }])
  t.is(triggers[0]!['metadata'].annotations['kafka.eventing.knative.dev/delivery.order'], 'unordered')
  const tasks = (await generate(definitions)).find(({ path }) => path.endsWith('alarm-tasks.json'))!
  // Whoever writes the access directory comes first: without it nobody may do anything.
  t.deepEqual(JSON.parse(tasks.content), [['tenant/write-directory'], ['buyer/sweep']])
})

test('alarms – the engine delivers one to its function alone', async (t) => {
  const plan = planEngine(await readManifests(fileURLToPath(new URL('manifests', import.meta.url))))
  for (const { name, schedules = [] } of functions) {
    const takers = plan.consumers.filter(
      ({ filter, topics }) =>
        topics.includes('knative-broker-stampede-default') &&
        filter({ type: 'io.stampede.alarm.due.v1', subject: name }),
    )
    const expected = schedules.some(({ options }) => options.alarm) ? [`Service/stampede/${name}`] : []
    t.deepEqual(
      takers.map(({ subscriber }) => subscriber.name),
      expected,
      name,
    )
  }
})

test('generate – refuses a function that subscribes to a type twice', async (t) => {
  const twice = sample('buyer', { events: [on(orderCreated, nothing), on(orderCreated, nothing, { ordered: true })] })
  await t.throwsAsync(generate([twice]), {
    instanceOf: TypeError,
    message: /buyer subscribes to io\.stampede\.order\.created\.v1 more than once/,
  })
})

test('EventTypes and schemas – there is one of each for every event of the catalogue', async (t) => {
  const types = await manifestsOf([], 'event-types')
  t.true(types.every(({ apiVersion, kind }) => apiVersion === 'eventing.knative.dev/v1beta3' && kind === 'EventType'))
  t.deepEqual(
    types.map(({ spec }) => spec.attributes.find(({ name }: { name: string }) => name === 'type').value),
    catalogue.map(({ type }) => type),
  )
  const schemas = (await generate([])).filter(({ path }) => path.startsWith('eventing/generated/schemas/'))
  t.is(schemas.length, catalogue.length)
  const created = JSON.parse(schemas.find(({ path }) => path.endsWith('/order-created-v1.json'))!.content)
  t.deepEqual(created.required, ['tenantId', 'activityId', 'orders'])
})

test('AsyncAPI document – every reference leads somewhere, and each event has a channel', async (t) => {
  const files = await generate(functions)
  const document = parse(files.find(({ path }) => path.endsWith('asyncapi.yaml'))!.content)
  t.is(document.asyncapi, '3.0.0')
  const references: string[] = []
  JSON.stringify(document, (key, value) => {
    if (key === '$ref') references.push(value)
    return value
  })
  t.true(references.length > catalogue.length)
  for (const reference of references) {
    const target = reference
      .slice(2)
      .split('/')
      .reduce((node: any, part) => node?.[part], document)
    t.truthy(target, reference)
  }
  const messages = Object.values<any>(document.channels).flatMap((channel) => Object.keys(channel.messages))
  t.is(messages.length, catalogue.length)
})
