/** What stands beside each function: its account and its disruption budget. */
import { functionMetadata } from './names.ts'

/** One account a function and no role for any: none of them asks the API server. Brokers and policies tell functions apart by it. */
export const serviceAccount = (name: string): object => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: functionMetadata(name),
  automountServiceAccountToken: false,
})

/**
 * Nodes are drained one pod at a time. `maxUnavailable`, because a minimum would stop a drain for ever at the one pod of a function
 * that scales to zero.
 */
export const disruptionBudget = (name: string): object => ({
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  metadata: functionMetadata(name),
  spec: { maxUnavailable: 1, selector: { matchLabels: { 'serving.knative.dev/service': name } } },
})
