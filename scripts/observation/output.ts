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

/** Returns the paths of both files. */
export async function writeObservation(
  folder: string,
  samples: readonly Sample[],
  summary: Summary,
  facts: Record<string, string>,
): Promise<{ csv: string; html: string }> {
  const stem = join(folder, fileStem(samples[0]?.atMs ?? 0, summary.profile))
  await mkdir(folder, { recursive: true })
  const page = renderPage(samples, summary, { title: `Observation: ${summary.profile}`, facts })
  await Promise.all([writeFile(`${stem}.csv`, toCsv(samples)), writeFile(`${stem}.html`, page)])
  return { csv: `${stem}.csv`, html: `${stem}.html` }
}
