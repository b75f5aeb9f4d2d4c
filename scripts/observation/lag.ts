/**
 * Records that wait, by consumer: from the eventing engine of the project when it runs in the namespace, else from the metrics
 * that KEDA scales the official broker's consumers by.
 */
import { getJson, podText, type KubeReader } from './kube-read.ts'
import { phaseOf, selectPods, type PodObject } from './pods.ts'

export const engineService = 'eventing-engine'

type ServiceObject = {
  spec?: { selector?: Record<string, string>; ports?: { port: number; targetPort?: number | string }[] }
}
type ScaledObject = { metadata: { name: string }; status?: { externalMetricNames?: string[] } }

export type LagSource = {
  kind: 'engine' | 'keda'
  /** Labels of the engine's pods. */
  selector: Record<string, string>
  read(pods: readonly PodObject[]): Promise<Record<string, number>>
}

/** @throws Error that says what was looked for when there is neither. */
export async function findLagSource(api: KubeReader, namespace: string): Promise<LagSource> {
  const engine = await getJson<ServiceObject>(api, `/api/v1/namespaces/${namespace}/services/${engineService}`).catch(
    () => undefined,
  )
  if (engine?.spec?.selector !== undefined) return engineSource(api, namespace, engine.spec.selector, portOf(engine))
  const scaled = await getJson<{ items: ScaledObject[] }>(
    api,
    `/apis/keda.sh/v1alpha1/namespaces/${namespace}/scaledobjects`,
  ).catch(() => undefined)
  if (scaled?.items.some(({ status }) => (status?.externalMetricNames ?? []).length > 0))
    return kedaSource(api, namespace, scaled.items)
  throw new Error(`there is no Service ${engineService} and no ScaledObject with metrics in namespace ${namespace}`)
}

function portOf({ spec }: ServiceObject): number | string {
  const [first] = spec?.ports ?? []
  return first?.targetPort ?? first?.port ?? 8_081
}

type EngineLag = { consumer: string; lag: number }

/** Each pod of the engine serves some of the partitions. */
function engineSource(
  api: KubeReader,
  namespace: string,
  selector: Record<string, string>,
  port: number | string,
): LagSource {
  return {
    kind: 'engine',
    selector,
    async read(pods) {
      const engines = selectPods(pods, selector).filter((pod) => phaseOf(pod) === 'ready')
      if (engines.length === 0) throw new Error(`no pod of ${engineService} is ready`)
      const pages = await Promise.all(
        engines.map((pod) => podText(api, namespace, pod.metadata.name, portNumber(pod, port), '/lag')),
      )
      const lags: Record<string, number> = {}
      for (const page of pages)
        for (const { consumer, lag } of JSON.parse(page) as EngineLag[]) lags[consumer] = (lags[consumer] ?? 0) + lag
      return lags
    },
  }
}

/** The proxy takes no names of ports. */
function portNumber({ spec }: PodObject, port: number | string): number {
  const ports = (spec?.containers ?? []).flatMap(({ ports: own = [] }) => own)
  return ports.find(({ name }) => name === port)?.containerPort ?? Number(port)
}

type ExternalMetrics = { items: { value: string }[] }

function kedaSource(api: KubeReader, namespace: string, scaled: readonly ScaledObject[]): LagSource {
  return {
    kind: 'keda',
    selector: {},
    async read() {
      const lags = await Promise.all(
        scaled.flatMap(({ metadata, status }) =>
          (status?.externalMetricNames ?? []).map(async (metric): Promise<[string, number]> => {
            const selector = encodeURIComponent(`scaledobject.keda.sh/name=${metadata.name}`)
            const { items } = await getJson<ExternalMetrics>(
              api,
              `/apis/external.metrics.k8s.io/v1beta1/namespaces/${namespace}/${metric}?labelSelector=${selector}`,
            )
            return [`${metadata.name}/${metric}`, items.reduce((sum, { value }) => sum + quantityOf(value), 0)]
          }),
        ),
      )
      return Object.fromEntries(lags)
    },
  }
}

const suffixes: Record<string, number> = { m: 0.001, k: 1e3, M: 1e6, G: 1e9 }

/** A quantity of Kubernetes as far as metrics use it: `12`, `1500m`, `2k`. NaN for anything else. */
export function quantityOf(text: string): number {
  const [, digits, suffix] = /^(\d+(?:\.\d+)?)([mkMG]?)$/.exec(text) ?? []
  return digits === undefined ? Number.NaN : Number(digits) * (suffixes[suffix ?? ''] ?? 1)
}
