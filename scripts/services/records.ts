/**
 * Which processes or containers a run has started, written down beside its data. When a run dies without stopping them, the
 * next one reads it and ends exactly those: a process is named by its id and the time of its start, so that no other is ever
 * hit, and containers by the compose project of the run.
 */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { tryLock } from '../setup/lock.mjs'
import { isAlive, ownIdentity, startTimeOf } from '../setup/processes.mjs'
import { endContainers, type ContainerRecord } from './containers.ts'
import { SetupError, type ServiceEnvironment } from './types.ts'

export type ProcessIdentity = { pid: number; startTime: string }
export type RunRecord = {
  /** The command that started them; undefined: they are kept up on their own (`npm run services -- up`). */
  owner?: ProcessIdentity | undefined
  processes: (ProcessIdentity & { name: string })[]
  containers?: ContainerRecord | undefined
  ports: Record<string, [number, number]>
  environment?: ServiceEnvironment | undefined
}

const fileName = 'run.json'
const endLimitMs = 20_000

export class Records {
  readonly #file: string
  readonly record: RunRecord

  constructor(folder: string, outlives: boolean) {
    this.#file = join(folder, fileName)
    const before = readRecord(folder)
    this.record = { owner: outlives ? undefined : ownIdentity(), processes: [], ports: before?.ports ?? {} }
  }

  started(name: string, pid: number): void {
    const startTime = startTimeOf(pid)
    if (startTime === undefined) return
    this.record.processes = [...this.record.processes.filter((one) => one.name !== name), { name, pid, startTime }]
    this.write()
  }

  startsContainers(containers: ContainerRecord | undefined): void {
    this.record.containers = containers
    this.write()
  }

  write(): void {
    const temporary = `${this.#file}.${process.pid}`
    writeFileSync(temporary, JSON.stringify(this.record, undefined, 2), { mode: 0o600 })
    renameSync(temporary, this.#file)
  }

  /** Nothing of ours runs any more; the ports stay known. */
  ended(): void {
    if (!existsSync(this.#file)) return
    this.record.processes = []
    this.record.containers = undefined
    this.record.owner = undefined
    this.record.environment = undefined
    this.write()
  }
}

/** @returns undefined when there is none, or when it is damaged */
export function readRecord(folder: string): RunRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(join(folder, fileName), 'utf8')) as RunRecord
    return Array.isArray(record.processes) && typeof record.ports === 'object' ? record : undefined
  } catch {
    return undefined
  }
}

/**
 * - `free`: nothing of it runs
 * - `stale`: its processes run and their owner is dead
 * - `busy`: its owner lives, or its processes are kept up on their own
 *
 * Containers that were not ended count as running: only the engine knows better.
 */
export function stateOf(
  record: RunRecord | undefined,
  alive: (identity: ProcessIdentity) => boolean = isAlive,
): 'free' | 'stale' | 'busy' {
  if (!record) return 'free'
  const running = record.containers !== undefined || record.processes.some(alive)
  if (record.owner) return alive(record.owner) ? 'busy' : running ? 'stale' : 'free'
  return running ? 'busy' : 'free'
}

/** Ends what a record names, as far as it still is what it was. Returns what was ended, for people; empty when nothing was. @throws SetupError when the engine of its containers does not answer */
export async function endServices(record: RunRecord): Promise<string> {
  const ended = await endProcesses(record)
  const processes = ended === 0 ? [] : [`${ended} ${ended === 1 ? 'process' : 'processes'}`]
  const { containers } = record
  const had = containers !== undefined && (await endContainers(containers))
  return [...processes, ...(had ? [`the containers of ${containers.project}`] : [])].join(' and ')
}

async function endProcesses(record: RunRecord): Promise<number> {
  const living = record.processes.filter((one) => isAlive(one))
  for (const one of living) signal(one, 'SIGTERM')
  const deadline = Date.now() + endLimitMs
  while (living.some((one) => isAlive(one)) && Date.now() < deadline) await delay(50)
  for (const one of living) if (isAlive(one)) signal(one, 'SIGKILL')
  while (living.some((one) => isAlive(one)) && Date.now() < deadline + 5_000) await delay(50)
  return living.length
}

function signal(identity: ProcessIdentity, name: NodeJS.Signals): void {
  try {
    process.kill(identity.pid, name)
  } catch {
    // It ended in this moment.
  }
}

/**
 * Ends what crashed runs left behind and deletes their temporary data. Returns what was ended, for people. Containers of an
 * engine that does not answer now are left for the next time.
 */
export async function cleanUpAfterCrashes(stampedeFolder: string): Promise<string[]> {
  const runs = join(stampedeFolder, 'runs')
  const temporary = existsSync(runs) ? readdirSync(runs).map((name) => join(runs, name)) : []
  const kept = existsSync(stampedeFolder) ? readdirSync(stampedeFolder).map((name) => join(stampedeFolder, name)) : []
  const ended: string[] = []
  for (const folder of [...temporary, ...kept]) {
    const record = readRecord(folder)
    const state = stateOf(record)
    if (!record || state === 'busy') continue
    if (state === 'stale') {
      // Nobody else ends the same, or begins to use the folder, meanwhile.
      const unlock = tryLock(join(folder, 'lock'))
      if (!unlock) continue
      try {
        const what = await endServices(record)
        if (what !== '') ended.push(what)
        new Records(folder, true).ended()
      } catch (error) {
        if (!(error instanceof SetupError)) throw error
        continue
      } finally {
        unlock()
      }
    }
    if (temporary.includes(folder)) rmSync(folder, { recursive: true, force: true })
  }
  return ended
}
