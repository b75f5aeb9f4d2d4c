/** Children that do not outlive this process, however it ends. */
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'

const setpriv = '/usr/bin/setpriv'

/** What to spawn instead, so that the kernel sends SIGTERM when this process dies, even by SIGKILL. Without setpriv the command itself. */
export function endedByKernel(command: string, args: readonly string[]): [command: string, args: string[]] {
  return existsSync(setpriv) ? [setpriv, ['--pdeathsig', 'TERM', '--', command, ...args]] : [command, [...args]]
}

const running = new Set<ChildProcess>()
const endAll = () => running.forEach((child) => child.kill('SIGKILL'))

/** When this process ends by itself, interrupted in the middle of something too, the child is killed. */
export function endsWithThisProcess(child: ChildProcess): void {
  if (running.size === 0) process.once('exit', endAll)
  running.add(child)
  child.once('exit', () => {
    running.delete(child)
    if (running.size === 0) process.off('exit', endAll)
  })
}
