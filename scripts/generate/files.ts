import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** A file with its path from the repository's root. */
export type GeneratedFile = { path: string; content: string }

/** What is to be done so that the repository holds exactly the generated files. */
export type Staleness = { changed: GeneratedFile[]; orphans: string[] }

/** Compares with what is there. Files in a `generated` folder that nothing generates any more are orphans. */
export async function staleFiles(root: string, files: readonly GeneratedFile[]): Promise<Staleness> {
  const changed: GeneratedFile[] = []
  for (const file of files) {
    const present = await readFile(join(root, file.path), 'utf8').catch(() => undefined)
    if (present !== file.content) changed.push(file)
  }
  const wanted = new Set(files.map(({ path }) => path))
  const orphans: string[] = []
  for (const folder of generatedFolders(files)) {
    const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true }).catch(() => [])
    for (const entry of entries) {
      const path = `${entry.parentPath.slice(root.length + 1)}/${entry.name}`
      if (entry.isFile() && !wanted.has(path)) orphans.push(path)
    }
  }
  return { changed, orphans }
}

/** The folders called `generated` in which the files are. */
function generatedFolders(files: readonly GeneratedFile[]): Set<string> {
  return new Set(
    files.flatMap(({ path }) => {
      const parts = path.split('/')
      const index = parts.indexOf('generated')
      return index < 0 ? [] : [parts.slice(0, index + 1).join('/')]
    }),
  )
}

export async function writeGenerated(root: string, { changed, orphans }: Staleness): Promise<void> {
  for (const { path, content } of changed) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), content)
  }
  for (const path of orphans) await rm(join(root, path))
}
