import test from 'ava'
import { problemOfPod } from './pods.ts'
import { readinessOf, type LiveObject } from './readiness.ts'
import { pageOf } from './status.ts'
import { isOlder } from './preflight.ts'

test('status – a page with what runs, what does not and why', (t) => {
  const page = pageOf({
    functions: [
      {
        name: 'order',
        ready: true,
        url: 'http://order.x',
        traffic: 'order-00002 100 %',
        pods: '1/1',
        desired: 1,
        actual: 1,
      },
      {
        name: 'seckill',
        ready: false,
        why: 'RevisionFailed: it crashes',
        traffic: '',
        pods: '0/2',
        desired: 2,
        actual: 0,
      },
    ],
    eventing: [
      { name: 'default', kind: 'Broker', ready: true },
      { name: 'a', kind: 'Trigger', ready: true },
      { name: 'b', kind: 'Trigger', ready: false, why: 'no topic' },
    ],
    lag: { orders: 12, other: 0 },
    infra: [{ name: 'Secret stampede-redis', state: 'missing' }],
    warnings: ['12:00:00 Pod/x Failed: y'],
  }).join('\n')
  for (const part of [
    /order +yes +1\/1 +1 +1 +order-00002 100 % +http:\/\/order\.x/,
    /seckill: RevisionFailed: it crashes/,
    /Trigger +1 +2/,
    /Trigger\/b: no topic/,
    /orders: 12/,
    /Secret stampede-redis +missing/,
    /Pod\/x Failed/,
  ])
    t.regex(page, part)
  t.notRegex(page, /other: 0/)
})

const object = (rest: Partial<LiveObject>): LiveObject => ({
  apiVersion: 'x',
  kind: 'X',
  metadata: { name: 'x' },
  ...rest,
})

test('readiness – by conditions, replicas and what was observed', (t) => {
  const serving = { apiVersion: 'serving.knative.dev/v1', kind: 'Service' }
  t.like(readinessOf(object(serving)), { ready: false, why: 'nobody has looked at it yet' })
  t.true(readinessOf(object({ ...serving, status: { conditions: [{ type: 'Ready', status: 'True' }] } })).ready)
  t.like(
    readinessOf(
      object({
        ...serving,
        metadata: { name: 'x', generation: 2 },
        status: { observedGeneration: 1, conditions: [{ type: 'Ready', status: 'True' }] },
      }),
    ),
    { ready: false, why: 'the change has not been seen yet' },
  )
  t.like(
    readinessOf(
      object({
        ...serving,
        status: {
          conditions: [
            { type: 'Ready', status: 'Unknown', reason: 'Deploying' },
            { type: 'RoutesReady', status: 'False', reason: 'NotOwned', message: 'taken' },
          ],
        },
      }),
    ),
    { ready: false, why: 'NotOwned: taken' },
  )
  const deployment = { apiVersion: 'apps/v1', kind: 'Deployment', spec: { replicas: 2 } }
  t.like(readinessOf(object({ ...deployment, status: { availableReplicas: 1, updatedReplicas: 2 } })), {
    why: '1 of 2 pods are ready',
  })
  t.false(readinessOf(object({ ...deployment, status: { availableReplicas: 2, updatedReplicas: 1 } })).ready)
  t.true(readinessOf(object({ ...deployment, status: { availableReplicas: 2, updatedReplicas: 2 } })).ready)
  t.true(readinessOf(object({ apiVersion: 'v1', kind: 'Service' })).ready)
})

test('pods – what is wrong in words', (t) => {
  const pod = (status: Parameters<typeof problemOfPod>[0]['status']) =>
    problemOfPod({ metadata: { name: 'p' }, status: status ?? {} })
  const waiting = (reason: string) =>
    pod({
      containerStatuses: [{ name: 'c', ready: false, restartCount: 0, state: { waiting: { reason, message: 'm' } } }],
    })
  t.is(pod({ phase: 'Running', containerStatuses: [{ name: 'c', ready: true, restartCount: 5 }] }), undefined)
  t.is(waiting('ContainerCreating'), undefined)
  t.regex(waiting('ImagePullBackOff') ?? '', /image of c cannot be had/)
  t.regex(waiting('CreateContainerConfigError') ?? '', /Secret or ConfigMap is missing/)
  t.regex(
    pod({ conditions: [{ type: 'PodScheduled', status: 'False', message: 'too little cpu' }] }) ?? '',
    /no place on a node: too little cpu/,
  )
})

test('versions – compared by major and minor, unknown ones are let through', (t) => {
  t.true(isOlder('v1.30.2', '1.31'))
  t.false(isOlder('v1.31.0-gke.1', '1.31'))
  t.false(isOlder('1.100.0', '1.31'))
  t.false(isOlder('2.0', '1.31'))
  t.false(isOlder('installed', '1.31'))
})
