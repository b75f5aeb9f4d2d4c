// @ts-check
import { readFileSync } from 'node:fs'

/**
 * When a process began, in clock ticks since the machine was booted. Together with the process id it names one process for
 * good: an id alone is given again to another process later. Undefined when there is no such process.
 * @param {number} pid
 * @returns {string | undefined}
 */
export function startTimeOf(pid) {
  try {
    return startTimeInStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return undefined
  }
}

/**
 * Field 22 of /proc/<pid>/stat. The second field is the name in parentheses, which may itself hold spaces and parentheses.
 * A zombie has ended already.
 * @param {string} stat
 * @returns {string | undefined}
 */
export function startTimeInStat(stat) {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined
  return fields[19]
}

/**
 * @typedef {{ pid: number, startTime: string }} ProcessIdentity
 */

/** @returns {ProcessIdentity} */
export function ownIdentity() {
  return { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' }
}

/**
 * True while exactly this process lives.
 * @param {ProcessIdentity} identity
 */
export function isAlive(identity) {
  return startTimeOf(identity.pid) === identity.startTime
}
