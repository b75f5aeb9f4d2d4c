/**
 * The overlays as they come out of kustomize, in `knative/rendered/`, so that rules about them can be tested where there is no
 * kubectl, and so that a change of the manifests shows what it changes. The first line has a hash of everything they are made of.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { GeneratedFile } from '../files.ts'

const execute = promisify(execFile)

export const overlays = ['local', 'staging', 'production'] as const

/** Folders with a kustomization that are applied, each with the name of its rendering. */
export const renderings: ReadonlyMap<string, string> = new Map([
  ...overlays.flatMap((overlay): [string, string][] => [
    [overlay, `knative/overlays/${overlay}`],
    [`${overlay}-infra`, `knative/overlays/${overlay}/infra`],
  ]),
  ['cluster', 'knative/cluster'],
])

export const renderedPath = (name: string): string => `knative/rendered/${name}.yaml`

/** Everything that a rendering can be made of. */
const inputFolders = ['knative', 'eventing/manifests']
const inputFiles = ['eventing/kustomization.yaml']
const isInput = (path: string) => path.endsWith('.yaml') && !path.startsWith('knative/rendered/')

/** The same on every machine: of paths and contents, in the order of the paths. */
export async function inputsHash(root: string): Promise<string> {
  const found = await Promise.all(
    inputFolders.map(async (folder) =>
      (await readdir(join(root, folder), { recursive: true })).map((name) => `${folder}/${name}`),
    ),
  )
  const hash = createHash('sha256')
  for (const path of [...found.flat(), ...inputFiles].filter(isInput).toSorted((a, b) => (a < b ? -1 : 1))) {
    const content = (await readFile(join(root, path), 'utf8')).replaceAll('\r\n', '\n')
    hash.update(`${path}\0${content}\0`)
  }
  return hash.digest('hex')
}

export const firstLine = (hash: string): string =>
  `# Made by "npm run generate" with kubectl from the kustomizations; inputs ${hash}. Do not change it by hand.`

/** The hash that a rendering says it was made from; undefined when it says none. */
export const hashOf = (content: string): string | undefined =>
  /inputs ([0-9a-f]{64})\./.exec(content.split('\n', 1)[0]!)?.[1]

/** All renderings, or undefined on a machine without kubectl. @throws Error with kustomize's own words. */
export async function renderOverlays(root: string): Promise<GeneratedFile[] | undefined> {
  if (!(await hasKubectl())) return undefined
  const line = firstLine(await inputsHash(root))
  return Promise.all(
    [...renderings].map(async ([name, folder]) => {
      const { stdout } = await execute('kubectl', ['kustomize', join(root, folder)], {
        timeout: 60_000,
        maxBuffer: 64 * 1024 * 1024,
      })
      return { path: renderedPath(name), content: `${line}\n${stdout}` }
    }),
  )
}

/** Is there a kubectl with kustomize in it? It is asked for nothing that needs a cluster. */
export async function hasKubectl(): Promise<boolean> {
  try {
    await execute('kubectl', ['version', '--client'], { timeout: 20_000 })
    return true
  } catch {
    return false
  }
}

/** Paths of renderings that were made from other inputs than the present ones. */
export async function staleRenderings(root: string): Promise<string[]> {
  const hash = await inputsHash(root)
  const stale: string[] = []
  for (const name of renderings.keys()) {
    const content = await readFile(join(root, renderedPath(name)), 'utf8').catch(() => '')
    if (hashOf(content) !== hash) stale.push(renderedPath(name))
  }
  return stale
}
