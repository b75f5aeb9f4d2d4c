/**
 * Does a real API server, with its schemas and admission webhooks, take every manifest of every overlay, and refuse mistakes? All of
 * it is a dry run: nothing is kept but two namespaces for its duration.
 */
import { join } from 'node:path'
import { KubectlError, type Kubectl } from '../cluster/kubectl.ts'
import type { Manifest } from '../cluster/manifest.ts'
import { isKnativeService, podsOf, readManifestFile, titleOf } from '../generate/knative/manifest.ts'
import { renderedPath, renderings } from '../generate/knative/render.ts'
import { mistakes, type Mistake } from './planted/mistakes.ts'
import { createScratch, type Scratch } from './scratch.ts'

export type Check = { name: string; ok: boolean; detail?: string }

const root = join(import.meta.dirname, '..', '..')

/**
 * One check for each manifest, for each pod (the server enforces pod security on pods only), and for each planted mistake.
 * @throws KubectlError when the cluster cannot be used at all.
 */
export async function checkAccepted(
  kubectl: Kubectl,
  { log = () => undefined }: { log?: (line: string) => void } = {},
): Promise<Check[]> {
  const scratch = await createScratch(kubectl)
  try {
    const checks: Check[] = []
    const all: Manifest[] = []
    await createAccounts(kubectl, scratch)
    const pods = new Map<string, Manifest>()
    const known = new Map<string, string | undefined>()
    for (const name of renderings.keys()) {
      const manifests = await readManifestFile(join(root, renderedPath(name)))
      log(`${name}: ${manifests.length} manifests`)
      checks.push(...(await checkEach(kubectl, scratch, name, manifests, known)))
      all.push(...manifests)
      for (const pod of manifests.length > 0 ? podManifests(manifests) : []) pods.set(JSON.stringify(pod), pod)
    }
    log(`${pods.size} pods under the profile "restricted"`)
    checks.push(...(await checkEach(kubectl, scratch, 'pods', [...pods.values()], known)))
    log(`${mistakes.length} planted mistakes`)
    for (const mistake of mistakes) checks.push(await checkRefused(kubectl, scratch, mistake, all))
    return checks
  } finally {
    await scratch.remove()
  }
}

/** For real: Serving's webhook tries the pod of a Service in a dry run of its own, and a pod needs its account. */
async function createAccounts(kubectl: Kubectl, scratch: Scratch): Promise<void> {
  const texts = new Set<string>()
  for (const name of renderings.keys()) {
    const manifests = await readManifestFile(join(root, renderedPath(name)))
    for (const manifest of manifests.filter(({ kind }) => kind === 'ServiceAccount'))
      texts.add(JSON.stringify(scratch.move(manifest)))
  }
  await kubectl.apply([...texts].join('\n---\n'))
}

const dryRun = async (kubectl: Kubectl, manifests: readonly Manifest[]): Promise<string | undefined> => {
  try {
    // The namespaces are new, so only settings of Knative could have another owner.
    await kubectl.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }), {
      dryRun: 'server',
      forceConflicts: true,
    })
    return undefined
  } catch (error) {
    if (!(error instanceof KubectlError) || error.failure === 'missing' || error.failure === 'unreachable') throw error
    return error.stderr.trim() || error.message
  }
}

/** What a cluster cannot judge. A test does not change settings of the whole cluster. */
function whyNotChecked(problem: string): string | undefined {
  if (/no matches for kind|doesn't have a resource type/.test(problem))
    return 'not checked: this cluster does not know the kind'
  if (/oidc-authentication feature not enabled/.test(problem))
    return 'not checked: EventPolicies need authentication-oidc (knative/cluster), which is not enabled here'
  return undefined
}

/** All at once; when something is wrong, halves of them, and so on, until it is clear what. */
async function checkEach(
  kubectl: Kubectl,
  scratch: Scratch,
  origin: string,
  manifests: readonly Manifest[],
  known: Map<string, string | undefined>,
): Promise<Check[]> {
  const texts = manifests.map((manifest) => JSON.stringify(scratch.move(manifest)))
  // Overlays have much in common.
  const open = [...new Set(texts)].filter((text) => !known.has(text))
  const judge = async (some: readonly string[]): Promise<void> => {
    if (some.length === 0) return
    const problem = await dryRun(
      kubectl,
      some.map((text) => JSON.parse(text) as Manifest),
    )
    if (problem === undefined || some.length === 1) {
      for (const text of some) known.set(text, problem)
      return
    }
    const middle = Math.ceil(some.length / 2)
    await judge(some.slice(0, middle))
    await judge(some.slice(middle))
  }
  await judge(open)
  return manifests.map((manifest, index) => {
    const problem = known.get(texts[index]!)
    const excuse = problem === undefined ? undefined : whyNotChecked(problem)
    return {
      name: `${origin}: ${titleOf(manifest)} is accepted`,
      ok: problem === undefined || excuse !== undefined,
      ...(problem === undefined ? {} : { detail: excuse ?? problem }),
    }
  })
}

/** The server must say no, and name what is wrong: another reason would be another mistake. */
async function checkRefused(
  kubectl: Kubectl,
  scratch: Scratch,
  mistake: Mistake,
  manifests: readonly Manifest[],
): Promise<Check> {
  const name = `planted: ${mistake.kind} with ${mistake.what} is refused`
  const planted = plant(mistake, manifests)
  if (planted === undefined) return { name, ok: false, detail: 'no overlay has a manifest of this kind' }
  const problem = await dryRun(kubectl, [scratch.move(planted)])
  if (problem === undefined) return { name, ok: false, detail: 'the server takes it' }
  const excuse = whyNotChecked(problem)
  if (excuse !== undefined) return { name, ok: true, detail: excuse }
  if (!mistake.refusal.test(problem)) return { name, ok: false, detail: `refused for another reason: ${problem}` }
  return { name, ok: true, detail: problem.split('\n', 1)[0]!.slice(0, 300) }
}

/** `serving.knative.dev/Service`, `core/Service`. */
export const kindOf = ({ apiVersion, kind }: Manifest): string =>
  `${apiVersion.includes('/') ? apiVersion.split('/', 1)[0] : 'core'}/${kind}`

/** The mistake, made in a manifest of the overlays. */
export function plant({ kind, name, make }: Mistake, manifests: readonly Manifest[]): Manifest | undefined {
  const found = manifests.find(
    (manifest) => kindOf(manifest) === kind && (name === undefined || manifest.metadata.name === name),
  )
  if (found === undefined) return undefined
  const copy = structuredClone(found)
  make(copy)
  return copy
}

/**
 * The pods that would be made, as far as pod security looks at them. Probes and references are left out: Serving fills in the first,
 * and the second need not be there in a dry run.
 */
function podManifests(manifests: readonly Manifest[]): Manifest[] {
  return podsOf(manifests).map(({ manifest, pod }) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `${isKnativeService(manifest) ? 'function-' : ''}${manifest.metadata.name}`,
      namespace: manifest.metadata.namespace!,
    },
    spec: {
      ...withoutServing(pod.spec),
      serviceAccountName: 'default',
      containers: pod.spec.containers.map(
        ({ livenessProbe: _l, readinessProbe: _r, ...container }: Record<string, unknown>) => ({
          ...container,
          startupProbe: undefined,
          volumeMounts: undefined,
        }),
      ),
    },
  }))
}

/** A revision's spec is a pod's with two more fields. */
function withoutServing({ containerConcurrency: _c, timeoutSeconds: _t, ...spec }: Record<string, unknown>) {
  return spec
}
