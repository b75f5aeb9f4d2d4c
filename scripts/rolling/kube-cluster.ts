/** A rollout's cluster by kubectl: reads through its proxy, writes one command each. */
import type { KubeApi } from '../cluster/kube-api.ts'
import { KubectlError, type Kubectl } from '../cluster/kubectl.ts'
import type { KnativeService, Lease, Pod, Revision } from './kube-objects.ts'
import type { RolloutCluster, Written } from './rollout-cluster.ts'
import { fieldManager } from './rollout-state.ts'

const attempts = 4
const pauseMs = 500
const readTimeoutMs = 10_000
/** A pod that needs longer for its figures counts as not answering. */
const metricsTimeoutMs = 5_000
const maximumPods = 500

class StatusError extends Error {
  override readonly name = 'StatusError'
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export function kubeCluster(
  kubectl: Kubectl,
  api: Pick<KubeApi, 'get'>,
  { namespace, service }: { namespace: string; service: string },
): RolloutCluster {
  const serving = `/apis/serving.knative.dev/v1/namespaces/${namespace}`
  const leases = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`
  const core = `/api/v1/namespaces/${namespace}`

  /** Ctrl-C in a terminal reaches the proxy as well, and the way back has to be found without it. */
  const readByCommand = async (path: string, timeoutMs: number): Promise<string> => {
    try {
      return await kubectl.run(['get', '--raw', path], { timeoutMs })
    } catch (error) {
      if (error instanceof KubectlError && error.failure === 'not-found') throw new StatusError(404, error.message)
      if (error instanceof KubectlError && error.failure === 'forbidden') throw new StatusError(403, error.message)
      throw error
    }
  }
  const readOnce = async (path: string, timeoutMs: number): Promise<string> => {
    let response: Response
    try {
      response = await api.get(path, { timeoutMs })
    } catch (error) {
      if (error instanceof TypeError) return readByCommand(path, timeoutMs)
      throw error
    }
    const text = await response.text()
    if (!response.ok) throw new StatusError(response.status, `${path}: ${response.status} ${messageIn(text)}`)
    return text
  }
  const read = async <T>(path: string): Promise<T> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return JSON.parse(await readOnce(path, readTimeoutMs)) as T
      } catch (error) {
        const lasting =
          error instanceof StatusError && error.status >= 400 && error.status < 500 && error.status !== 429
        if (lasting || attempt >= attempts) throw error
        await new Promise((resolve) => setTimeout(resolve, pauseMs * attempt))
      }
    }
  }
  const readOrNone = async <T>(path: string): Promise<T | undefined> => {
    try {
      return await read<T>(path)
    } catch (error) {
      if (error instanceof StatusError && error.status === 404) return undefined
      throw error
    }
  }
  const list = async <T>(path: string, selector: string): Promise<T[]> =>
    (await read<{ items: T[] }>(`${path}?limit=${maximumPods}&labelSelector=${encodeURIComponent(selector)}`)).items

  return {
    async readService() {
      const found = await readOrNone<KnativeService>(`${serving}/services/${service}`)
      if (!found)
        throw new Error(
          `There is no Service ${service} in namespace ${namespace}. Deploy it first (scripts/deploy services), or give --namespace.`,
        )
      return found
    },
    patchService: (operations) =>
      written(() =>
        kubectl.run([
          '-n',
          namespace,
          'patch',
          'services.serving.knative.dev',
          service,
          '--type=json',
          `--field-manager=${fieldManager}`,
          `--patch=${JSON.stringify(operations)}`,
        ]),
      ),
    readRevision: (name) => readOrNone<Revision>(`${serving}/revisions/${name}`),
    listRevisions: () => list<Revision>(`${serving}/revisions`, `serving.knative.dev/service=${service}`),
    listPods: (revision) => list<Pod>(`${core}/pods`, `serving.knative.dev/revision=${revision}`),
    readMetrics: (pod, port) => readOnce(`${core}/pods/${pod}:${port}/proxy/metrics`, metricsTimeoutMs),
    readLease: (name) => readOrNone<Lease>(`${leases}/${name}`),
    writeLease: (lease) =>
      written(() =>
        kubectl.run([lease.metadata.resourceVersion === undefined ? 'create' : 'replace', '-f', '-'], {
          input: JSON.stringify(lease),
        }),
      ),
    async deleteLease({ metadata }) {
      await kubectl.run(['-n', metadata.namespace, 'delete', 'lease', metadata.name, '--ignore-not-found'])
    },
  }
}

/** A refusal because of another's write is an outcome, not an error. */
async function written(write: () => Promise<unknown>): Promise<Written> {
  try {
    await write()
    return 'done'
  } catch (error) {
    if (!(error instanceof KubectlError)) throw error
    if (
      error.failure === 'conflict' ||
      /AlreadyExists|already exists|rejected our request due to an error in our request/i.test(error.stderr)
    )
      return 'changed'
    throw error
  }
}

function messageIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown }
    if (typeof message === 'string') return message
  } catch {
    // Not a Status of the API server.
  }
  return text.slice(0, 200)
}
