/** What was measured, where, and who else was busy there. */
import { execFile } from 'node:child_process'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { promisify } from 'node:util'
import { repositoryFolder } from '../sale/child.ts'

export type Machine = { cpu: string; cores: number; memoryGigabytes: number; node: string; platform: string }

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
  }
}

/** The commit, with `+changes` when the work tree differs from it. */
export async function describeCommit(): Promise<string> {
  const git = async (...parameters: string[]) =>
    (await promisify(execFile)('git', parameters, { cwd: repositoryFolder })).stdout.trim()
  try {
    const changed = (await git('status', '--porcelain', '--untracked-files=no')) !== ''
    return `${await git('rev-parse', '--short=12', 'HEAD')}${changed ? '+changes' : ''}`
  } catch {
    return 'unknown'
  }
}

/** Above this load from others the figures say little. */
export const foreignLoadLimit = 1.5

/** Load of the last minute, before anything of ours runs. */
export const loadBefore = (): number => Number((loadavg()[0] ?? 0).toFixed(2))
