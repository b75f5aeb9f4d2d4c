/**
 * What `scripts/deploy services` may do to functions that have been rolled out. The rule: once a rollout has set the image of a
 * function, only rollouts change it; everything else in the template stays the manifests' affair; traffic is in no manifest. So
 * applying again never undoes a rollout, and never gives a failed image traffic. `scripts/rollout <function> --release` gives the
 * function back to the manifests.
 */
import { imageOf, servingContainer, type KnativeService } from './kube-objects.ts'
import { readState } from './rollout-state.ts'

type ServiceManifest = {
  apiVersion: string
  kind: string
  metadata: { name: string }
}

export type Reapplied<M> = {
  /** To be applied as always. */
  plain: M[]
  /**
   * To be applied with `--force-conflicts`, with the image that a rollout has set: a Service's containers are one value to
   * server-side apply, so whoever changed the image owns all of it.
   */
  owned: M[]
  /** Names of functions with a rollout half-way: nothing must be applied to them. */
  running: string[]
  /** For people: what was kept, and how to change it. */
  notes: string[]
}

export function respectRollouts<M extends ServiceManifest>(
  manifests: readonly M[],
  live: readonly KnativeService[],
): Reapplied<M> {
  const result: Reapplied<M> = { plain: [], owned: [], running: [], notes: [] }
  for (const manifest of manifests) {
    const { name } = manifest.metadata
    const isFunction = manifest.kind === 'Service' && manifest.apiVersion.startsWith('serving.knative.dev/')
    const service = isFunction ? live.find(({ metadata }) => metadata.name === name) : undefined
    const state = service && readState(service)
    if (!service || !state) {
      result.plain.push(manifest)
      continue
    }
    if (state.phase === 'running') {
      result.running.push(name)
      continue
    }
    if (state.phase === 'released') {
      result.owned.push(manifest)
      continue
    }
    const kept = imageOf(service.spec.template.spec)
    const { changed, wanted } = withImage(manifest, kept)
    result.owned.push(changed)
    if (wanted !== kept)
      result.notes.push(
        `${name} keeps ${kept}, which a rollout has set (${state.phase}). For another image: scripts/rollout ${name} --to ${wanted}. ` +
          `To let this step set it again: scripts/rollout ${name} --release`,
      )
  }
  return result
}

function withImage<M>(manifest: M, image: string): { changed: M; wanted: string } {
  const changed = structuredClone(manifest)
  const { containers } = (changed as unknown as KnativeService).spec.template.spec
  const container = containers[servingContainer(containers)]
  const wanted = imageOf({ containers })
  if (container) container.image = image
  return { changed, wanted }
}
