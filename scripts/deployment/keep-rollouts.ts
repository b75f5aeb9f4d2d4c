/** Before the step `services` applies: what rollouts have set stays. The rule is in `scripts/rolling/reapply.ts`. */
import type { KnativeService } from '../rolling/kube-objects.ts'
import { respectRollouts } from '../rolling/reapply.ts'
import { DeployError, namespace, type DeployContext } from './context.ts'
import type { Manifest } from '../cluster/manifest.ts'

/** @throws DeployError while a rollout of one of the functions is half-way */
export async function keepRollouts(
  { kubectl, say }: Pick<DeployContext, 'kubectl' | 'say'>,
  manifests: readonly Manifest[],
): Promise<{ plain: Manifest[]; owned: Manifest[] }> {
  const text = await kubectl.run(
    ['-n', namespace, 'get', 'services.serving.knative.dev', '--ignore-not-found', '-o', 'json'],
    { timeoutMs: 30_000 },
  )
  const live = text.trim() === '' ? [] : (JSON.parse(text) as { items: KnativeService[] }).items
  const { plain, owned, running, notes } = respectRollouts(manifests, live)
  const [first] = running
  if (first !== undefined)
    throw new DeployError(
      `A rollout of ${running.join(', ')} is half-way, so nothing was applied. Wait for its end, or end it: scripts/rollout ${first} --abort`,
    )
  for (const note of notes) say(note)
  return { plain, owned }
}
