import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Debian keeps servers in directories that are not on the PATH of ordinary users. */
const systemDirectories = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin']

/** The absolute path of a program, or undefined. */
export function findProgram(
  name: string,
  path: string = process.env['PATH'] ?? '',
  extra: readonly string[] = systemDirectories,
): string | undefined {
  for (const directory of [...path.split(delimiter), ...extra]) {
    if (directory === '') continue
    const candidate = join(directory, name)
    try {
      accessSync(candidate, constants.X_OK)
      if (statSync(candidate).isFile()) return candidate
    } catch {
      // Not here.
    }
  }
  return undefined
}
