/** A name of its own for each function that people call. The overlays' `nameSuffix` is the domain. */
import { functionMetadata } from './names.ts'

export const domainMapping = (name: string): object => ({
  apiVersion: 'serving.knative.dev/v1beta1',
  kind: 'DomainMapping',
  metadata: functionMetadata(name),
  spec: { ref: { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name } },
})

/** Who may take the name: without a claim any namespace of the cluster could. */
export const domainClaim = (name: string): object => {
  const { namespace, ...metadata } = functionMetadata(name)
  return {
    apiVersion: 'networking.internal.knative.dev/v1alpha1',
    kind: 'ClusterDomainClaim',
    metadata,
    spec: { namespace },
  }
}
