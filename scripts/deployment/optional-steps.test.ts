import test from 'ava'
import { DeployError } from './context.ts'
import { gateway, monitoring } from './optional-steps.ts'
import { changes, memoryCluster, testContext } from './testing.ts'

const mapping = (name: string) => `
apiVersion: serving.knative.dev/v1beta1
kind: DomainMapping
metadata: { name: ${name}, namespace: stampede }
spec: { ref: { kind: Service, name: order } }
---
apiVersion: networking.internal.knative.dev/v1alpha1
kind: ClusterDomainClaim
metadata: { name: ${name} }
`
const monitor =
  'apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nmetadata: { name: functions, namespace: stampede }\n'

function start() {
  const cluster = memoryCluster({
    'local/gateway': mapping('order.stampede.test'),
    gateway: mapping('order'),
    monitoring: monitor,
  })
  cluster.answers.push([
    /get domainmappings/,
    () =>
      JSON.stringify({
        items: [...cluster.objects.values()].map((object) => ({
          ...object,
          status: { url: `http://${object.metadata.name}`, conditions: [{ type: 'Ready', status: 'True' }] },
        })),
      }),
  ])
  return cluster
}

test('gateway – functions under the domain, claims as well', async (t) => {
  const cluster = start()
  const { context, said } = testContext(cluster)
  await gateway(context, 'shop.example.com')
  t.deepEqual([...cluster.objects.keys()].sort(), [
    'ClusterDomainClaim/order.shop.example.com',
    'DomainMapping/order.shop.example.com',
  ])
  t.true(said.some((line) => /order\.shop\.example\.com leads to order/.test(line)))
})

test('gateway – a domain of the manifests gives way to the one that is asked for', async (t) => {
  const cluster = memoryCluster({ gateway: mapping('order.old.example.com') })
  const { context, said } = testContext(cluster, { dryRun: true })
  await gateway(context, 'shop.example.com')
  t.true(said.includes('would create DomainMapping/order.shop.example.com'))
  await t.throwsAsync(gateway(testContext(cluster).context, 'not a name'), {
    instanceOf: DeployError,
    message: /--domain/,
  })
})

test('gateway – without a domain the names of the overlay', async (t) => {
  const cluster = start()
  await gateway(testContext(cluster).context, undefined)
  t.true(cluster.objects.has('DomainMapping/order.stampede.test'))
})

test('monitoring – does nothing without the Prometheus operator and says so', async (t) => {
  const cluster = start()
  await monitoring(testContext(cluster).context)
  t.true(cluster.objects.has('PodMonitor/functions'))
  const without = start()
  without.kinds.delete('monitoring.coreos.com/v1')
  const { context, said } = testContext(without)
  t.false(await monitoring(context))
  t.deepEqual(changes(without), [])
  t.true(said.some((line) => /not installed/.test(line)))
})
