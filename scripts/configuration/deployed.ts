/** Where the repository keeps the documents that are deployed: with the function they are of, or in `knative/base` when they are of all. */
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'

export type DocumentFile = { name: string; path: string }

/** The documents that are deployed, by name: those of the functions, and those of all. @throws Error when two have the same name. */
export async function deployedDocuments(root: string): Promise<DocumentFile[]> {
  const functions = await readdir(join(root, 'functions'), { withFileTypes: true }).catch(() => [])
  const folders = [
    join('knative', 'base', 'configuration'),
    ...functions.filter((entry) => entry.isDirectory()).map((entry) => join('functions', entry.name, 'configuration')),
  ]
  const found = new Map<string, DocumentFile>()
  for (const folder of folders) {
    for (const file of await readdir(join(root, folder)).catch(() => [])) {
      if (!file.endsWith('.yaml')) continue
      const name = nameOf(file)
      const other = found.get(name)
      if (other) throw new Error(`the document ${name} is there twice: ${other.path} and ${join(folder, file)}`)
      found.set(name, { name, path: join(folder, file) })
    }
  }
  return [...found.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

export const nameOf = (file: string): string => basename(file).replace(/\.(ya?ml|json)$/, '')
