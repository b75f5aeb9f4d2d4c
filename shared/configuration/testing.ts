/** What tests of documents share: a folder, writing as editors and as Kubernetes do, a registry that can be asked. */
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'

export function temporaryFolder(): { folder: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'stampede-configuration-'))
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** As most editors save. */
export function writeByRename(file: string, text: string): void {
  writeFileSync(`${file}.new`, text)
  renameSync(`${file}.new`, file)
}

/**
 * A volume as the kubelet keeps it: the files are links to `..data/<name>`, and `..data` is a link to a folder with a time in its
 * name, which is swapped by a rename. Returns how to swap again.
 */
export function configMapMount(folder: string, files: Record<string, string>) {
  let count = 0
  const swap = (next: Record<string, string>) => {
    count += 1
    const version = `..2026_11_21_00_00_${String(count).padStart(2, '0')}.1`
    mkdirSync(join(folder, version))
    for (const [name, text] of Object.entries(next)) writeFileSync(join(folder, version, name), text)
    const before = readdirSync(folder).filter((name) => name.startsWith('..2026') && name !== version)
    symlinkSync(version, join(folder, '..data_tmp'))
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
    const shown = new Set(readdirSync(folder).filter((name) => !name.startsWith('..')))
    for (const name of Object.keys(next)) if (!shown.has(name)) symlinkSync(join('..data', name), join(folder, name))
    for (const name of shown) if (!(name in next)) rmSync(join(folder, name))
    for (const name of before) rmSync(join(folder, name), { recursive: true })
  }
  swap(files)
  return { swap }
}

export type LogLine = { level: 'info' | 'error'; message: string; problems?: string[] }

/** The log and the metrics of a test, and how to read them. */
export function observed() {
  const metrics = new Registry()
  const lines: LogLine[] = []
  const write =
    (level: LogLine['level']) =>
    (fields: object, message = '') =>
      void lines.push({ level, message, ...fields })
  return {
    metrics,
    log: { info: write('info'), error: write('error') } as never,
    lines,
    /** The samples of a family, with their labels: `{version="2"} 1` → `['2 1']` for label `version`. */
    sample: async (name: string, label?: string): Promise<string[]> => {
      const family = await metrics.getSingleMetric(name)?.get()
      return (family?.values ?? []).map((sample) =>
        label === undefined ? String(sample.value) : `${String(sample.labels[label])} ${sample.value}`,
      )
    },
  }
}
