/** The step `services`: bundles, images, Knative Services, and the wait until each answers. */
import { formatDuration } from '../lib/terminal.ts'
import { applyStage } from './apply.ts'
import { checkInfra } from './check-infra.ts'
import { DeployError, type DeployContext } from './context.ts'
import { functionsOf, imagesFor, type ImageOptions } from './function-images.ts'
import { funcDeploy } from './func-deploy.ts'
import { keepRollouts } from './keep-rollouts.ts'
import type { Manifest } from '../cluster/manifest.ts'
import { reportLeftovers } from './leftovers.ts'
import { ofStage, ownImagesOf, renderOverlay, withImages } from './manifests.ts'
import { explainPods } from './pods.ts'
import type { LiveObject } from './readiness.ts'
import { settingsVersion, withSettingsVersion } from './settings-version.ts'
import { waitUntilReady } from './wait.ts'

export type ServicesOptions = ImageOptions & {
  /** Only these functions; empty: all. */
  only: readonly string[]
  /** `manifests`: as the overlay says; `func`: by `func deploy`, with what func.yaml can say. */
  with: 'manifests' | 'func'
}

/** All that the environment of a function refers to. */
const neededSecrets = [
  'stampede-identity',
  'stampede-data-keys',
  'stampede-redis',
  'stampede-kafka',
  'stampede-database',
]

const resource = 'services.serving.knative.dev'

export async function services(context: DeployContext, options: ServicesOptions): Promise<void> {
  const { kubectl, say, dryRun, now } = context
  const all = ofStage(await renderOverlay(kubectl, context.overlay), 'services')
  const chosen = chooseFunctions(all, options.only)
  const names = functionsOf(chosen)
  const version = await settingsVersion(context, neededSecrets)
  const images = await imagesFor(context, ownImagesOf(chosen), options)
  const manifests = withImages(chosen, images).map((manifest) => withSettingsVersion(manifest, version))

  await reportLeftovers(context, resource, functionsOf(all))
  const [anImage] = images.values()
  if (anImage !== undefined && !dryRun) await checkInfra(context, anImage)
  const beganMs = now()
  if (options.with === 'func') {
    await applyStage(
      context,
      'services',
      manifests.filter((manifest) => !isFunction(manifest)),
    )
    for (const name of names) await funcDeploy(context, name, images.get(name) ?? '')
  } else {
    const { plain, owned } = await keepRollouts(context, manifests)
    await applyStage(context, 'services', plain)
    await applyStage({ ...context, forceConflicts: true }, 'services', owned)
  }
  if (dryRun) return
  await waitUntilReady(
    context,
    names.map((name) => ({ resource, name })),
    {
      onReady({ name }, object) {
        say(`${name} is ready (${formatDuration(now() - beganMs)}): ${urlOf(object) ?? 'without a URL'}`)
        const pinned = pinnedTraffic(object)
        if (pinned !== undefined)
          say(`  ${pinned}: the new revision gets no traffic by itself. Move it: scripts/rollout ${name}`)
      },
      explain: ({ name }) =>
        explainPods(kubectl, `serving.knative.dev/service=${name}`, { container: 'user-container' }),
    },
  )
}

export const isFunction = (manifest: Manifest): boolean =>
  manifest.kind === 'Service' && manifest.apiVersion.startsWith('serving.knative.dev/')

/** The named functions and what belongs to them by label. @throws DeployError for a name that is no function */
export function chooseFunctions(manifests: readonly Manifest[], only: readonly string[]): Manifest[] {
  if (only.length === 0) return [...manifests]
  const names = functionsOf(manifests)
  const unknown = only.filter((name) => !names.includes(name))
  if (unknown.length > 0)
    throw new DeployError(`There is no function ${unknown.join(', ')}. There are: ${names.join(', ')}.`)
  return manifests.filter(({ metadata }) => only.includes(metadata.labels?.['app.kubernetes.io/name'] ?? metadata.name))
}

const urlOf = ({ status }: LiveObject): string | undefined => status?.['url'] as string | undefined

function pinnedTraffic({ spec }: LiveObject): string | undefined {
  const traffic = (spec?.['traffic'] ?? []) as { latestRevision?: boolean; percent?: number; revisionName?: string }[]
  const toLatest = traffic.filter(({ latestRevision }) => latestRevision === true)
  if (traffic.length === 0 || toLatest.some(({ percent = 0 }) => percent === 100)) return undefined
  return `traffic is bound to ${traffic.map(({ revisionName = 'latest', percent = 0 }) => `${revisionName} ${percent} %`).join(', ')}`
}
