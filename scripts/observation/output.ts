/** The files of an observation. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { toCsv } from './columns.ts'
import { renderPage } from './page.ts'
import type { Sample } from './samples.ts'
import type { Summary } from './summary.ts'

/** `2026-01-02T03-04-05Z-sale`: no character that a file system minds. */
export const fileStem = (atMs: number, profile: string): string =>
  `${new Date(atMs).toISOString().slice(0, 19).replaceAll(':', '-')}Z-${profile}`

/** The table alone, for a run that did not come to its end. Returns its path. */
export async function writeTable(folder: string, samples: readonly Sample[], profile: string): Promise<string> {
  const file = join(folder, `${fileStem(samples[0]?.atMs ?? 0, profile)}.csv`)
  await mkdir(folder, { recursive: true })
  await writeFile(file, toCsv(samples))
  return file
}

/** Returns the paths of both files. */
export async function writeObservation(
  folder: string,
  samples: readonly Sample[],
  summary: Summary,
  facts: Record<string, string>,
): Promise<{ csv: string; html: string }> {
  const csv = await writeTable(folder, samples, summary.profile)
  const html = csv.replace(/csv$/, 'html')
  await writeFile(html, renderPage(samples, summary, { title: `Observation: ${summary.profile}`, facts }))
  return { csv, html }
}
