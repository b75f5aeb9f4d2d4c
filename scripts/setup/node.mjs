// @ts-check
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isAtLeast, parseVersion } from './versions.mjs'

/** The first Node that runs the sources without a build and without a warning. */
export const leastNode = [24, 12]

/**
 * The Node that runs the sources: this one, or the one that came with the dependencies.
 * @param {string} root
 * @returns {string | undefined} its path
 */
export function findNode(root) {
  if (isAtLeast(parseVersion(process.versions.node), leastNode)) return process.execPath
  const packaged = join(root, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node')
  return existsSync(packaged) && works(packaged) ? packaged : undefined
}

/**
 * A binary of the wrong C library or one that was cut off does not run.
 * @param {string} path
 */
function works(path) {
  try {
    const version = execFileSync(path, ['--version'], {
      encoding: 'utf8',
      timeout: 10_000,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return isAtLeast(parseVersion(version), leastNode)
  } catch {
    return false
  }
}
