/** The Knative Service of a function, from its func.yaml and its settings. */
import { environmentOf, volumesOf, type FuncYaml } from './func-yaml.ts'
import { functionLabels, functionMetadata } from './names.ts'
import type { ServiceSettings } from './settings.ts'

export function knativeService(definition: FuncYaml, settings: ServiceSettings): object {
  const { name, deploy } = definition
  const { limits: { concurrency, ...limits } = {}, requests } = deploy.options.resources
  const { volumes, mounts } = volumesOf(definition)
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: functionMetadata(
      name,
      settings.visibility === undefined ? {} : { 'networking.knative.dev/visibility': settings.visibility },
    ),
    spec: {
      // No `traffic`: by default all of it goes to the latest revision, and `scripts/rollout` owns the field while it works.
      template: {
        metadata: { labels: functionLabels(name), annotations: scaleAnnotations(definition, settings) },
        spec: {
          serviceAccountName: name,
          // A function asks the API server for nothing.
          automountServiceAccountToken: false,
          // Otherwise every Service of the namespace becomes seven environment variables.
          enableServiceLinks: false,
          containerConcurrency: concurrency ?? 0,
          timeoutSeconds: settings['timeout-seconds'],
          containers: [
            {
              name: 'user-container',
              image: `stampede/${name}`,
              ports: [{ name: 'http1', containerPort: 8080 }],
              env: environmentOf(definition),
              resources: {
                requests: { ...settings.resources.requests, ...requests },
                limits: { ...settings.resources.limits, ...limits },
              },
              // Without a period the queue proxy asks every few milliseconds while the pod starts: seconds of a cold start.
              readinessProbe: { httpGet: { path: deploy.healthEndpoints.readiness ?? '/health/readiness' } },
              livenessProbe: {
                httpGet: { path: deploy.healthEndpoints.liveness ?? '/health/liveness' },
                // A busy process is late, not dead: half a minute.
                periodSeconds: 10,
                timeoutSeconds: 5,
                failureThreshold: 3,
              },
              securityContext: containerSecurity,
              // The one place that can be written to: npm and Node keep small things there.
              volumeMounts: [{ name: 'temporary', mountPath: '/tmp' }, ...mounts],
            },
          ],
          volumes: [{ name: 'temporary', emptyDir: { sizeLimit: '64Mi' } }, ...volumes],
        },
      },
    },
  }
}

/** What the profile "restricted" asks for. The number is there because images made by hand often run as root. */
export const containerSecurity = {
  runAsNonRoot: true,
  runAsUser: 1000,
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
}

function scaleAnnotations({ deploy }: FuncYaml, settings: ServiceSettings): Record<string, string> {
  const { min = 0, max = 10, metric = 'concurrency', target, utilization } = deploy.options.scale
  const proxy = settings['queue-proxy']
  const values: Record<string, string | number | undefined> = {
    'autoscaling.knative.dev/class': 'kpa.autoscaling.knative.dev',
    'autoscaling.knative.dev/metric': metric,
    'autoscaling.knative.dev/target': target,
    'autoscaling.knative.dev/target-utilization-percentage': utilization,
    'autoscaling.knative.dev/min-scale': min,
    'autoscaling.knative.dev/max-scale': max,
    'autoscaling.knative.dev/initial-scale': settings['initial-scale'],
    'autoscaling.knative.dev/activation-scale': settings['activation-scale'],
    'autoscaling.knative.dev/window': settings.window,
    'autoscaling.knative.dev/panic-window-percentage': decimal(settings['panic-window-percentage']),
    'autoscaling.knative.dev/panic-threshold-percentage': decimal(settings['panic-threshold-percentage']),
    'autoscaling.knative.dev/target-burst-capacity': settings['target-burst-capacity'],
    'autoscaling.knative.dev/scale-down-delay': settings['scale-down-delay'],
    'autoscaling.knative.dev/scale-to-zero-pod-retention-period': settings['scale-to-zero-pod-retention-period'],
    'queue.sidecar.serving.knative.dev/cpu-resource-request': proxy.requests.cpu,
    'queue.sidecar.serving.knative.dev/memory-resource-request': proxy.requests.memory,
    'queue.sidecar.serving.knative.dev/cpu-resource-limit': proxy.limits.cpu,
    'queue.sidecar.serving.knative.dev/memory-resource-limit': proxy.limits.memory,
  }
  return Object.fromEntries(
    Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]])),
  )
}

const decimal = (value: number): string => value.toFixed(1)
