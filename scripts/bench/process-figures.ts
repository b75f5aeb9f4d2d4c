/** CPU time and memory of a process, from /proc. */
import { readFileSync } from 'node:fs'

/** `sysconf(_SC_CLK_TCK)`: 100 on every Linux that Node runs on. */
const ticksPerSecond = 100

/** User and system time in microseconds; undefined where there is no /proc or the process has ended. */
export function cpuMicrosOf(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name of the program, in brackets, may hold spaces: fields are counted behind it.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return ((Number(fields[11]) + Number(fields[12])) * 1_000_000) / ticksPerSecond
  } catch {
    return undefined
  }
}

/** Resident memory in bytes. */
export function residentBytesOf(pid: number): number | undefined {
  try {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return match ? Number(match[1]) * 1_024 : undefined
  } catch {
    return undefined
  }
}

export type CpuWatch = {
  /** Microseconds since the watch began, by name. */
  read(): Record<string, number>
}

export function watchCpu(pids: Record<string, number | undefined>): CpuWatch {
  const begin = Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, pid && cpuMicrosOf(pid)]))
  return {
    read: () => {
      const used: Record<string, number> = {}
      for (const [name, pid] of Object.entries(pids)) {
        const now = pid === undefined ? undefined : cpuMicrosOf(pid)
        const before = begin[name]
        if (now !== undefined && typeof before === 'number') used[name] = now - before
      }
      return used
    },
  }
}
