/** Is an object ready, and if not, why? Pure: looks at what the server returned. */

export type Condition = { type: string; status: string; reason?: string; message?: string }

export type LiveObject = {
  apiVersion: string
  kind: string
  metadata: {
    name: string
    namespace?: string
    generation?: number
    labels?: Record<string, string>
    annotations?: Record<string, string>
    creationTimestamp?: string
    deletionTimestamp?: string
  }
  spec?: { replicas?: number; [key: string]: unknown }
  status?: {
    observedGeneration?: number
    conditions?: Condition[]
    replicas?: number
    readyReplicas?: number
    updatedReplicas?: number
    availableReplicas?: number
    [key: string]: unknown
  }
}

export type Verdict =
  { ready: true } | { ready: false; why: string; /** It will not become ready by waiting. */ hopeless?: boolean }

const ready: Verdict = { ready: true }

/** Kinds that have no readiness are ready when they exist. */
export function readinessOf(object: LiveObject): Verdict {
  const { kind, metadata, spec = {}, status = {} } = object
  if (
    metadata.generation !== undefined &&
    status.observedGeneration !== undefined &&
    status.observedGeneration < metadata.generation
  )
    return { ready: false, why: 'the change has not been seen yet' }
  if (kind === 'Deployment' || kind === 'StatefulSet') return replicasReady(spec.replicas ?? 1, kind, status)
  if (kind === 'Job') return jobDone(status)
  if (!withConditions.test(object.apiVersion)) return ready
  const condition = status.conditions?.find(({ type }) => type === 'Ready')
  if (condition?.status === 'True') return ready
  const culprit =
    status.conditions?.find(({ type, status: value }) => type !== 'Ready' && value === 'False') ?? condition
  return {
    ready: false,
    why: culprit === undefined ? 'nobody has looked at it yet' : describe(culprit),
    hopeless: condition?.status === 'False' && hopelessReasons.has(condition.reason ?? ''),
  }
}

/** These say by a condition whether they are ready. */
const withConditions = /(\.knative\.dev|^keda\.sh)\//

/** Of Knative: a revision that failed stays failed. */
const hopelessReasons = new Set(['RevisionFailed'])

function replicasReady(wanted: number, kind: string, status: NonNullable<LiveObject['status']>): Verdict {
  const updated = status.updatedReplicas ?? 0
  const available = kind === 'Deployment' ? (status.availableReplicas ?? 0) : (status.readyReplicas ?? 0)
  if (available >= wanted && (updated >= wanted || kind === 'StatefulSet')) return ready
  const stuck = status.conditions?.find(
    ({ type, status: value }) =>
      (type === 'ReplicaFailure' && value === 'True') || (type === 'Progressing' && value === 'False'),
  )
  return { ready: false, why: stuck ? describe(stuck) : `${available} of ${wanted} pods are ready` }
}

function jobDone(status: NonNullable<LiveObject['status']>): Verdict {
  if (status.conditions?.some(({ type, status: value }) => type === 'Complete' && value === 'True')) return ready
  const failed = status.conditions?.find(({ type, status: value }) => type === 'Failed' && value === 'True')
  return failed ? { ready: false, why: describe(failed), hopeless: true } : { ready: false, why: 'runs' }
}

const describe = ({ type, reason, message }: Condition): string =>
  message !== undefined && message !== '' ? `${reason ?? type}: ${message}` : (reason ?? `${type} is not true`)
