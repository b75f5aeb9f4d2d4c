// @ts-check
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isAlive, ownIdentity } from './processes.mjs'

const pollMs = 250

/**
 * Takes a lock between processes: a file that names its holder. A holder that has died does not count.
 * @param {string} path
 * @param {{ limitMs: number, onWait?: (holderPid: number) => void }} options
 * @returns {Promise<() => void>} gives the lock back
 */
export async function takeLock(path, { limitMs, onWait }) {
  mkdirSync(dirname(path), { recursive: true })
  const deadline = Date.now() + limitMs
  let told = false
  for (;;) {
    const release = tryLock(path)
    if (release) return release
    const holder = readHolder(path)
    if (holder && !told) {
      told = true
      onWait?.(holder.pid)
    }
    if (Date.now() > deadline) {
      throw new Error(
        `process ${holder?.pid} has held ${path} for ${Math.round(limitMs / 1000)} s; end it, or delete the file when it hangs`,
      )
    }
    await delay(pollMs)
  }
}

/**
 * Takes the lock when it is free.
 * @param {string} path
 * @returns {(() => void) | undefined}
 */
export function tryLock(path) {
  mkdirSync(dirname(path), { recursive: true })
  const own = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`
  writeFileSync(own, JSON.stringify(ownIdentity()))
  try {
    // A link appears with its content, or not at all: nobody can read a lock that is half written.
    for (let attempt = 0; attempt < 2; attempt += 1) {
      try {
        linkSync(own, path)
        return () => rmSync(path, { force: true })
      } catch (error) {
        if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error
      }
      const holder = readHolder(path)
      if (holder && isAlive(holder)) return undefined
      removeStale(path, own)
    }
    return undefined
  } finally {
    rmSync(own, { force: true })
  }
}

/**
 * Two processes may see the same dead holder. Whoever moves the file away looks at what it really took.
 * @param {string} path
 * @param {string} own
 */
function removeStale(path, own) {
  const aside = `${own}.stale`
  try {
    renameSync(path, aside)
  } catch {
    return
  }
  const moved = readHolder(aside)
  if (moved && isAlive(moved)) {
    try {
      linkSync(aside, path)
    } catch {
      // Somebody else has locked meanwhile; the one that we disturbed ends before it matters at worst.
    }
  }
  rmSync(aside, { force: true })
}

/**
 * @param {string} path
 * @returns {{ pid: number, startTime: string } | undefined}
 */
function readHolder(path) {
  try {
    const holder = JSON.parse(readFileSync(path, 'utf8'))
    return typeof holder?.pid === 'number' && typeof holder.startTime === 'string' ? holder : undefined
  } catch {
    return undefined
  }
}
