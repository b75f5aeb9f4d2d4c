/** The steps `gateway` and `monitoring`: for clusters and installations that have a use for them. */
import { applyStage } from './apply.ts'
import { kindsOf } from './api-kinds.ts'
import { DeployError, namespace, type DeployContext } from './context.ts'
import type { Manifest } from '../cluster/manifest.ts'
import { renderFolder } from './manifests.ts'
import { waitUntilReady } from './wait.ts'

const claimApi = 'networking.internal.knative.dev/v1alpha1'

/** The shop's public name, which leads to the function gateway. Without a domain the overlay's own. */
export async function gateway(context: DeployContext, domain: string | undefined): Promise<void> {
  if (
    domain !== undefined &&
    !/^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$/.test(domain)
  )
    throw new DeployError(`--domain is a name such as shop.example.com, not "${domain}".`)
  const rendered =
    domain === undefined
      ? await renderFolder(context.kubectl, `knative/overlays/${context.overlay}/gateway`)
      : (await renderFolder(context.kubectl, 'knative/gateway')).map((manifest) => named(manifest, domain))
  const kinds = await kindsOf(context.kubectl, [claimApi])
  const claims = rendered.filter(({ kind }) => kind === 'ClusterDomainClaim')
  if (claims.length > 0 && kinds.get(claimApi)?.has('ClusterDomainClaim') !== true)
    context.say('This cluster makes domain claims by itself (or hides them); none are applied.')
  const applied = await applyStage(
    context,
    'gateway',
    rendered.filter(({ kind }) => kind !== 'ClusterDomainClaim' || kinds.get(claimApi)?.has(kind) === true),
  )
  const mappings = applied.filter(({ kind }) => kind === 'DomainMapping')
  await waitUntilReady(
    context,
    mappings.map(({ metadata }) => ({ resource: 'domainmappings.serving.knative.dev', name: metadata.name })),
    {
      onReady: ({ name }, { status }) =>
        context.say(`${name} leads to ${targetOf(mappings, name)}: ${String(status?.['url'])}`),
      explain: ({ name }) =>
        Promise.resolve([
          `more: kubectl -n ${namespace} describe domainmapping ${name}`,
          'A name that another namespace has claimed cannot be had: kubectl get clusterdomainclaims',
        ]),
    },
  )
  if (!context.dryRun) context.say(`The DNS has to lead this name to the ingress of Knative.`)
}

const named = (manifest: Manifest, name: string): Manifest => ({
  ...manifest,
  metadata: { ...manifest.metadata, name },
})

function targetOf(mappings: readonly Manifest[], name: string): string {
  const mapping = mappings.find(({ metadata }) => metadata.name === name)
  return (mapping?.spec?.['ref'] as { name?: string } | undefined)?.name ?? '?'
}

/** Returns false where there is nobody to read the monitors. */
export async function monitoring(context: DeployContext): Promise<boolean> {
  const api = 'monitoring.coreos.com/v1'
  const kinds = await kindsOf(context.kubectl, [api])
  if (kinds.get(api)?.has('ServiceMonitor') !== true) {
    context.say(
      'The Prometheus operator is not installed: nothing to do. Metrics can be read at /metrics of each pod all the same.',
    )
    return false
  }
  await applyStage(context, 'monitoring', await renderFolder(context.kubectl, 'knative/monitoring'))
  return true
}
