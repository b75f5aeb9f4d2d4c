/** The parts of Kubernetes' and Knative's objects that a rollout reads and writes. */
export type Condition = { type: string; status: 'True' | 'False' | 'Unknown'; reason?: string; message?: string }

export type TrafficTarget = {
  revisionName?: string
  latestRevision?: boolean
  percent?: number
  tag?: string
  /** Only in a status. */
  url?: string
}

export type Container = { name?: string; image: string; ports?: readonly unknown[] }

export type KnativeService = {
  metadata: {
    name: string
    namespace: string
    uid?: string
    resourceVersion: string
    generation: number
    annotations?: Record<string, string>
    labels?: Record<string, string>
    deletionTimestamp?: string
  }
  spec: {
    template: { metadata?: { name?: string }; spec: { containers: Container[] } }
    traffic?: TrafficTarget[]
  }
  status?: {
    observedGeneration?: number
    conditions?: Condition[]
    latestCreatedRevisionName?: string
    latestReadyRevisionName?: string
    traffic?: TrafficTarget[]
    url?: string
  }
}

export type Revision = {
  metadata: { name: string; labels?: Record<string, string>; creationTimestamp?: string }
  spec: { containers: Container[] }
  status?: { conditions?: Condition[] }
}

type ContainerState = {
  waiting?: { reason?: string; message?: string }
  terminated?: { reason?: string; exitCode?: number }
}

export type Pod = {
  metadata: { name: string; uid: string; deletionTimestamp?: string }
  status?: {
    phase?: string
    conditions?: Condition[]
    containerStatuses?: { name: string; restartCount: number; state?: ContainerState; lastState?: ContainerState }[]
  }
}

export type Lease = {
  apiVersion: 'coordination.k8s.io/v1'
  kind: 'Lease'
  metadata: { name: string; namespace: string; resourceVersion?: string; labels?: Record<string, string> }
  spec: { holderIdentity?: string; renewTime?: string; leaseDurationSeconds?: number }
}

/** RFC 6902, as far as the API server is sent it. */
export type PatchOperation =
  { op: 'add' | 'replace' | 'test'; path: string; value: unknown } | { op: 'remove'; path: string }

export const conditionOf = (object: { status?: { conditions?: Condition[] } }, type: string): Condition | undefined =>
  object.status?.conditions?.find((condition) => condition.type === type)

/** The container that answers: the one with a port, else the only one. */
export function servingContainer(containers: readonly Container[]): number {
  const withPort = containers.findIndex(({ ports }) => ports !== undefined && ports.length > 0)
  return Math.max(withPort, 0)
}

export const imageOf = ({ containers }: { containers: readonly Container[] }): string =>
  containers[servingContainer(containers)]?.image ?? ''
