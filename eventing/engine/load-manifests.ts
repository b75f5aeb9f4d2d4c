/** Reads manifests from a folder and checks each of them; what is wrong is collected, so that one run shows it all. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { manifestSchemas, type Manifest, type ManifestKind } from './manifest-schema.ts'

/** Every problem of a set of manifests. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError'
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super(`The manifests cannot be run:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`)
    this.problems = problems
  }
}

/** Where a manifest came from, for messages. */
export type RawManifest = { origin: string; value: unknown }

const maximumFiles = 1_000

/**
 * All YAML documents of a folder, its subfolders included. A `kustomization.yaml` is for kustomize and left out. So is what lies
 * below a name with a dot in front: a mounted ConfigMap holds each file as a link into `..data`, which itself is a link to a
 * folder `..2026_01_02…`, and read through all of them each manifest would be there twice.
 */
export async function readManifests(folder: string): Promise<RawManifest[]> {
  const names = (await readdir(folder, { recursive: true }))
    .filter((name) => /\.ya?ml$/.test(name) && !/(^|\/)kustomization\.ya?ml$/.test(name) && !/(^|\/)\./.test(name))
    .toSorted()
  if (names.length > maximumFiles) throw new ManifestError([`${folder} holds more than ${maximumFiles} YAML files`])
  const manifests: RawManifest[] = []
  const problems: string[] = []
  for (const name of names) {
    const documents = parseAllDocuments(await readFile(join(folder, name), 'utf8'))
    for (const document of Array.isArray(documents) ? documents : []) {
      problems.push(...document.errors.map((error) => `${name}: ${error.message.split('\n', 1)[0]}`))
      if (document.errors.length > 0) continue
      try {
        const value: unknown = document.toJS()
        if (value !== null && value !== undefined) manifests.push({ origin: name, value })
      } catch (error) {
        // An alias without its anchor, or too many of them.
        problems.push(`${name}: ${(error as Error).message}`)
      }
    }
  }
  if (problems.length > 0) throw new ManifestError(problems)
  return manifests
}

/**
 * The manifests of known kinds, typed; everything that is wrong with the others; and the keys of all that are there, right or
 * wrong, so that a reference to a wrong one is not reported as well.
 */
export function checkManifests(raw: readonly RawManifest[]): {
  manifests: Manifest[]
  problems: string[]
  declared: Set<string>
} {
  const manifests: Manifest[] = []
  const declared = new Set<string>()
  const problems: string[] = []
  for (const { origin, value } of raw) {
    const { kind, metadata } = (value ?? {}) as { kind?: unknown; metadata?: { name?: unknown; namespace?: unknown } }
    const label = `${origin}: ${textOf(kind, '(no kind)')} ${textOf(metadata?.name, '(no name)')}`
    if (typeof kind !== 'string' || !Object.hasOwn(manifestSchemas, kind)) {
      problems.push(`${label}: the engine does not know this kind; it runs ${Object.keys(manifestSchemas).join(', ')}`)
      continue
    }
    declared.add(manifestKey(kind, textOf(metadata?.namespace, 'default'), textOf(metadata?.name, '')))
    const parsed = manifestSchemas[kind as ManifestKind].safeParse(value)
    if (parsed.success) manifests.push(parsed.data)
    else problems.push(...parsed.error.issues.map((issue) => `${label}: ${describe(issue)}`))
  }
  return { manifests, problems, declared }
}

const textOf = (value: unknown, otherwise: string): string => (typeof value === 'string' ? value : otherwise)

export const manifestKey = (kind: string, namespace: string, name: string): string => `${kind} ${namespace}/${name}`

function describe(issue: { path: PropertyKey[]; message: string; code: string; keys?: string[] }): string {
  const at = issue.path.map(String).join('.')
  if (issue.code === 'unrecognized_keys' && issue.keys) {
    const fields = issue.keys.map((key) => (at === '' ? key : `${at}.${key}`))
    return `${fields.join(', ')}: the engine does not support this field`
  }
  return at === '' ? issue.message : `${at}: ${issue.message}`
}
