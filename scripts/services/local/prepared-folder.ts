import { cp, mkdir, rename, rm } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * Makes a folder that is complete or absent: `fill` works in a temporary one, which is moved into place at the end. An
 * interrupted set-up therefore begins this step again.
 */
export async function preparedFolder(folder: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  if (existsSync(folder)) return
  const temporary = join(dirname(folder), `.making-${process.pid}-${Math.random().toString(36).slice(2, 8)}`)
  await mkdir(temporary, { recursive: true })
  try {
    await fill(temporary)
    await rename(temporary, folder)
  } catch (error) {
    // Another run was faster: its folder is as good.
    if (!existsSync(folder)) throw error
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

/** A copy of a prepared folder, complete or absent. */
export function copiedFolder(template: string, folder: string): Promise<void> {
  return preparedFolder(folder, (temporary) => cp(template, temporary, { recursive: true }))
}
