/** Which metrics the rollout is judged by. */
import { functionSource, queueProxySource, type MetricsSource } from './prometheus.ts'
import type { RolloutCluster } from './rollout-cluster.ts'
import { StepFailure } from './await-revision.ts'

export type MetricsChoice = 'auto' | MetricsSource['name']

/** `auto`: queue-proxy when its port answers, since it also sees what the function does not answer; else the function's own. */
export async function chooseSource(
  cluster: Pick<RolloutCluster, 'listPods' | 'readMetrics'>,
  revisions: readonly string[],
  choice: MetricsChoice,
): Promise<MetricsSource> {
  if (choice === 'function') return functionSource
  if (choice === 'queue-proxy') return queueProxySource
  let asked = 0
  for (const revision of revisions) {
    for (const pod of await cluster.listPods(revision)) {
      if (pod.status?.phase !== 'Running' || pod.metadata.deletionTimestamp !== undefined) continue
      asked += 1
      if (await answers(cluster, pod.metadata.name, queueProxySource.port)) return queueProxySource
      if (await answers(cluster, pod.metadata.name, functionSource.port)) return functionSource
    }
  }
  throw new StepFailure(
    asked === 0
      ? 'none of its pods runs, so nothing tells which metrics there are (choose with --metrics)'
      : 'no pod answers at /metrics: set request-metrics-protocol: prometheus in ConfigMap config-observability of knative-serving',
  )
}

async function answers(cluster: Pick<RolloutCluster, 'readMetrics'>, pod: string, port: number): Promise<boolean> {
  try {
    await cluster.readMetrics(pod, port)
    return true
  } catch {
    return false
  }
}
