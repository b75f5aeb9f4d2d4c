/** A cluster in memory with a clock of its own: enough of Knative's controllers for a rollout to be played, broken anywhere. */
import { isDeepStrictEqual } from 'node:util'
import type { KnativeService, Lease, PatchOperation, Pod, Revision, TrafficTarget } from './kube-objects.ts'
import { imageOf } from './kube-objects.ts'
import type { RolloutCluster, RolloutWorld, Written } from './rollout-cluster.ts'
import type { RolloutPlan } from './roll-out.ts'
import { readState } from './rollout-state.ts'

/** How an image behaves. */
export type Behaviour = {
  /** From its creation; never with Infinity. */
  readyAfterMs?: number
  errorShare?: number
  /** Errors end this long after its first request. */
  failsForMs?: number
  /** Every request takes this long. */
  takesMs?: number
  /** Its container ends and starts again this long after the first request. */
  restartsAfterMs?: number
}

export type Call = { name: keyof RolloutCluster; index: number }
/** Called before each call takes effect; what it throws the caller gets. `after`: it takes effect, and the answer is lost. */
export type Fault = (call: Call) => 'after' | undefined

const service = 'order'
const namespace = 'test'
const bounds = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500]

type FakeRevision = Revision & {
  madeMs: number
  image: string
  pod: { requests: number; errors: number; restarts: number; firstRequestMs: number | undefined }
}

export class FakeCluster implements RolloutCluster {
  nowMs = 0
  requestsPerSecond = 100
  calls: Call[] = []
  fault: Fault = () => undefined
  metricsAnswer = true
  /** Traffic goes where it should, but the routes say so only after this time. */
  routesLagMs = 0
  /** Called when the clock moves, for what others do in the meantime. */
  onTime: () => void = () => undefined
  object: KnativeService
  readonly revisions = new Map<string, FakeRevision>()
  readonly behaviours = new Map<string, Behaviour>()
  lease: Lease | undefined
  /** Broken promises: a candidate with more traffic than its state says. */
  readonly violations: string[] = []
  readonly #beganAt = 'dev.example/order:old'
  #version = 1
  #patchedMs = -Infinity

  constructor() {
    this.object = {
      metadata: {
        name: service,
        namespace,
        resourceVersion: '1',
        generation: 1,
        annotations: { 'others.example/note': 'kept' },
      },
      spec: {
        template: { spec: { containers: [{ image: this.#beganAt, ports: [{}] }] } },
        traffic: [{ latestRevision: true, percent: 100 }],
      },
    }
    this.#reconcile()
    this.nowMs = 10_000
    this.#reconcile()
  }

  readService = () => this.#call('readService', () => structuredClone(this.object))
  readRevision = (name: string) =>
    this.#call('readRevision', () => {
      const found = this.revisions.get(name)
      return found === undefined
        ? undefined
        : structuredClone({ metadata: found.metadata, spec: found.spec, status: found.status })
    })
  listRevisions = () => this.#call('listRevisions', () => structuredClone([...this.revisions.values()]))
  listPods = (revision: string) =>
    this.#call('listPods', (): Pod[] => {
      const found = this.revisions.get(revision)
      if (!found) return []
      const ready = found.status?.conditions?.[0]?.status === 'True'
      const state = ready ? {} : { waiting: { reason: 'CrashLoopBackOff', message: 'back-off restarting' } }
      return [
        {
          metadata: { name: `${revision}-pod`, uid: `${revision}-uid` },
          status: {
            phase: ready ? 'Running' : 'Pending',
            containerStatuses: [
              {
                name: 'user-container',
                restartCount: found.pod.restarts,
                state,
                lastState: { terminated: { exitCode: 137, reason: 'OOMKilled' } },
              },
            ],
          },
        },
      ]
    })
  readMetrics = (pod: string, port: number) =>
    this.#call('readMetrics', () => {
      if (!this.metricsAnswer || port !== 9091) throw new Error('connection refused')
      const found = this.revisions.get(pod.replace(/-pod$/, ''))
      if (!found) throw new Error('no such pod')
      return metricsText(found.pod, this.behaviours.get(found.image)?.takesMs ?? 10)
    })
  patchService = (operations: readonly PatchOperation[]) =>
    this.#call('patchService', (): Written => {
      const next = structuredClone(this.object)
      if (!applyPatch(next, operations)) return 'changed'
      const newTemplate = !isDeepStrictEqual(next.spec.template, this.object.spec.template)
      const changed = newTemplate || !isDeepStrictEqual(next.spec, this.object.spec)
      next.metadata.generation += changed ? 1 : 0
      this.object = next
      this.#patchedMs = this.nowMs
      this.touch()
      return 'done'
    })
  readLease = () => this.#call('readLease', () => structuredClone(this.lease))
  writeLease = (lease: Lease) =>
    this.#call('writeLease', (): Written => {
      if (this.lease?.metadata.resourceVersion !== lease.metadata.resourceVersion) return 'changed'
      this.#version += 1
      this.lease = { ...lease, metadata: { ...lease.metadata, resourceVersion: String(this.#version) } }
      return 'done'
    })
  deleteLease = () =>
    this.#call('deleteLease', () => {
      this.lease = undefined
    })

  /** A new image from outside, as a deploy does it. */
  setImage(image: string): void {
    this.object.spec.template.spec.containers[0] = { image, ports: [{}] }
    this.object.metadata.generation += 1
    this.touch()
  }

  touch(): void {
    this.#version += 1
    this.object.metadata.resourceVersion = String(this.#version)
  }

  advance(durationMs: number): void {
    for (let left = durationMs; left > 0; left -= 500) {
      this.nowMs += Math.min(left, 500)
      this.#reconcile()
      this.#serve(Math.min(left, 500) / 1_000)
    }
    this.onTime()
  }

  shares(): Record<string, number> {
    return Object.fromEntries(
      (this.object.status?.traffic ?? []).flatMap(({ revisionName = '', percent = 0 }) =>
        percent > 0 ? [[this.revisions.get(revisionName)?.image.split(':')[1] ?? '', percent]] : [],
      ),
    )
  }

  async #call<T>(name: keyof RolloutCluster, act: () => T): Promise<T> {
    const call = { name, index: this.calls.length }
    this.calls.push(call)
    const lost = this.fault(call)
    const result = act()
    if (lost === 'after') throw new Error(`the answer to ${name} was lost`)
    return result
  }

  #reconcile(): void {
    const { object } = this
    const image = imageOf(object.spec.template.spec)
    const names = [...this.revisions.keys()]
    const newest = names.at(-1)
    const made = newest === undefined ? undefined : this.revisions.get(newest)
    if (made?.image !== image) {
      const name = `${service}-${String(names.length + 1).padStart(5, '0')}`
      this.revisions.set(name, {
        metadata: { name },
        spec: { containers: [{ image }] },
        madeMs: this.nowMs,
        image,
        pod: { requests: 0, errors: 0, restarts: 0, firstRequestMs: undefined },
      })
    }
    let latestReady = object.status?.latestReadyRevisionName
    for (const [name, revision] of this.revisions) {
      const ready = this.nowMs - revision.madeMs >= (this.behaviours.get(revision.image)?.readyAfterMs ?? 2_000)
      revision.status = {
        conditions: [
          ready ? { type: 'Ready', status: 'True' } : { type: 'Ready', status: 'Unknown', reason: 'Deploying' },
        ],
      }
      if (ready) latestReady = name
    }
    const traffic = (object.spec.traffic ?? []).map(({ latestRevision, revisionName, ...rest }): TrafficTarget => ({
      ...rest,
      revisionName: latestRevision === true ? latestReady : revisionName,
      ...(rest.tag === undefined ? {} : { url: `http://${rest.tag}-${service}.${namespace}.example.com` }),
    }))
    object.status = {
      observedGeneration: object.metadata.generation,
      conditions: [
        { type: 'RoutesReady', status: this.nowMs - this.#patchedMs >= this.routesLagMs ? 'True' : 'Unknown' },
      ],
      latestCreatedRevisionName: [...this.revisions.keys()].at(-1),
      ...(latestReady === undefined ? {} : { latestReadyRevisionName: latestReady }),
      traffic,
    }
    this.#check(traffic)
  }

  #check(traffic: readonly TrafficTarget[]): void {
    const state = readState(this.object)
    if (!state) return
    const allowed = state.phase === 'finished' ? 100 : state.phase === 'running' ? state.percent : 0
    for (const { revisionName = '', percent = 0 } of traffic) {
      const image = this.revisions.get(revisionName)?.image
      if (image === state.candidate.image && percent > allowed)
        this.violations.push(`${revisionName} has ${percent} % in phase ${state.phase} with ${state.percent} %`)
    }
  }

  #serve(seconds: number): void {
    for (const { revisionName = '', percent = 0 } of this.object.status?.traffic ?? []) {
      const revision = this.revisions.get(revisionName)
      if (!revision || percent === 0) continue
      const requests = (this.requestsPerSecond * seconds * percent) / 100
      const { errorShare = 0, restartsAfterMs, failsForMs = Infinity } = this.behaviours.get(revision.image) ?? {}
      const { pod } = revision
      pod.firstRequestMs ??= this.nowMs
      pod.requests += requests
      if (this.nowMs - pod.firstRequestMs < failsForMs) pod.errors += requests * errorShare
      if (restartsAfterMs !== undefined && pod.restarts === 0 && this.nowMs - pod.firstRequestMs >= restartsAfterMs)
        pod.restarts = 1
    }
  }
}

const metricsText = ({ requests, errors }: { requests: number; errors: number }, takesMs: number): string => {
  const name = 'http_server_request_duration_seconds'
  const lines = [
    `${name}_count{http_response_status_code="200"} ${requests - errors}`,
    `${name}_count{http_response_status_code="503"} ${errors}`,
    ...bounds.map((upToMs) => `${name}_bucket{le="${upToMs / 1_000}"} ${upToMs >= takesMs ? requests : 0}`),
    `${name}_bucket{le="+Inf"} ${requests}`,
  ]
  return `${lines.join('\n')}\n`
}

/** RFC 6902 for objects and lists that exist; false when a test does not hold. */
export function applyPatch(target: unknown, operations: readonly PatchOperation[]): boolean {
  for (const operation of operations) {
    const keys = operation.path
      .slice(1)
      .split('/')
      .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    const last = keys.pop() ?? ''
    const parent = keys.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], target)
    if (typeof parent !== 'object' || parent === null) return false
    const holder = parent as Record<string, unknown>
    if (operation.op === 'test') {
      if (!isDeepStrictEqual(holder[last], operation.value)) return false
    } else if (operation.op === 'remove') delete holder[last]
    else holder[last] = structuredClone(operation.value)
  }
  return true
}

export function fakeWorld(cluster: FakeCluster, options: { id?: string; warm?: RolloutWorld['warm'] } = {}) {
  const said: string[] = []
  const world: RolloutWorld = {
    cluster,
    clock: {
      nowMs: () => cluster.nowMs,
      async sleep(durationMs, signal) {
        signal?.throwIfAborted()
        cluster.advance(durationMs)
      },
      timestamp: () => new Date(cluster.nowMs).toISOString(),
    },
    say: (line) => said.push(line),
    id: options.id ?? 'one',
    warm: options.warm ?? (async () => ({ answered: 20, failed: 0 })),
  }
  return { world, said }
}

export const fakePlan: RolloutPlan = {
  namespace,
  service,
  image: 'dev.example/order:new',
  steps: [1, 10, 50, 100],
  limits: {
    maxErrorRate: 0.01,
    maxP99Ms: 500,
    minRequests: 20,
    stepMs: 10_000,
    maxStepMs: 60_000,
    fewRequests: 'fail',
  },
  tag: 'candidate',
  keepTag: false,
  readyWithinMs: 60_000,
  metrics: 'auto',
}

/** A cluster in which the image of `fakePlan` behaves like this. */
export function clusterWith(candidate: Behaviour = {}): FakeCluster {
  const cluster = new FakeCluster()
  cluster.behaviours.set(fakePlan.image, candidate)
  return cluster
}

export const templateImage = (cluster: FakeCluster) => imageOf(cluster.object.spec.template.spec).split(':')[1]
