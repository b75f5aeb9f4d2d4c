import test from 'ava'
import { DeployError } from './context.ts'
import { gateway, monitoring } from './optional-steps.ts'
import { changes, memoryCluster, testContext } from './testing.ts'

const mapping = (name: string) => `
apiVersion: serving.knative.dev/v1beta1
kind: DomainMapping
metadata: { name: ${name}, namespace: stampede }
spec: { ref: { kind: Service, name: gateway } }
---
apiVersion: networking.internal.knative.dev/v1alpha1
kind: ClusterDomainClaim
metadata: { name: ${name} }
`
const monitor =
  'apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nmetadata: { name: functions, namespace: stampede }\n'

function start() {
  const cluster = memoryCluster({
    'local/gateway': mapping('shop.stampede.test'),
    gateway: mapping('shop'),
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

test('gateway – the domain leads to the function gateway, and is claimed', async (t) => {
  const cluster = start()
  const { context, said } = testContext(cluster)
  await gateway(context, 'www.example.com')
  t.deepEqual([...cluster.objects.keys()].sort(), [
    'ClusterDomainClaim/www.example.com',
    'DomainMapping/www.example.com',
  ])
  t.true(said.some((line) => /www\.example\.com leads to gateway/.test(line)))
})

test('gateway – a domain of the manifests gives way to the one that is asked for', async (t) => {
  const cluster = memoryCluster({ gateway: mapping('shop.old.example.com') })
  const { context, said } = testContext(cluster, { dryRun: true })
  await gateway(context, 'www.example.com')
  t.true(said.includes('would create DomainMapping/www.example.com'))
  await t.throwsAsync(gateway(testContext(cluster).context, 'not a name'), {
    instanceOf: DeployError,
    message: /--domain/,
  })
})

test('gateway – without a domain the name of the overlay', async (t) => {
  const cluster = start()
  await gateway(testContext(cluster).context, undefined)
  t.true(cluster.objects.has('DomainMapping/shop.stampede.test'))
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
