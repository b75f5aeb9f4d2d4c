/**
 * Virtual time and one thing at a time. Whatever an actor wants from outside (Redis, the database, Kafka, a pause) becomes a
 * step; the scheduler runs one due step, chosen by the seed, lets everything that follows from it run until all actors wait
 * again, and only then chooses the next. Nothing else moves time.
 */
import type { Random } from './random.ts'

/** A process. A crash makes a new life of it: what the old one waited for never comes. */
export type Actor = { name: string; life: number; alive: boolean }

type Step = {
  dueMs: number
  name: string
  /** The process that waits; undefined for what the outside world does on its own. */
  actor: Actor | undefined
  /** A request on its way: it may still arrive after its sender died. */
  travelling: boolean
  run: () => void
}

export type Fault = 'none' | 'fails-before' | 'fails-after'

export type Respond<T> = { resolve(value: T): void; reject(error: unknown): void }

/** Requests over one connection arrive in the order in which they were sent. It belongs to one life of one process. */
export type Connection = { busy: boolean; queue: ((broken: boolean) => void)[] }

export class Unreachable extends Error {
  override readonly name = 'Unreachable'
}

export type SchedulerOptions = {
  random: Random
  startMs: number
  /** Called with each step that runs; only when tracing. */
  trace?: (line: string) => void
}

export type Scheduler = ReturnType<typeof createScheduler>

export function createScheduler({ random, startMs, trace }: SchedulerOptions) {
  let nowMs = startMs
  let steps = 0
  let pending: Step[] = []
  let broken: unknown
  let immediates = 0

  const add = (step: Step) => pending.push(step)

  /**
   * Runs `run` after `delayMs`, as a step of the outside world or of an actor (then it is dropped when the actor dies).
   * Returns how to call it off.
   */
  const later = (name: string, delayMs: number, run: () => void, actor?: Actor): (() => void) => {
    const step: Step = { dueMs: nowMs + delayMs, name, actor, travelling: false, run }
    add(step)
    return () => {
      const at = pending.indexOf(step)
      if (at >= 0) pending.splice(at, 1)
    }
  }

  const sleep = (actor: Actor | undefined, name: string, delayMs: number) =>
    new Promise<void>((resolve) => void later(name, delayMs, resolve, actor))

  /**
   * A request from an actor to a service: it travels, is handled in one atomic step (or later: `respond` may be kept), and the
   * answer travels back. Each of the ways is a step of its own, so that a crash can fall between them; `fault` decides when
   * the request arrives.
   */
  function request<T>(
    actor: Actor,
    name: string,
    handle: (respond: Respond<T>) => void,
    fault: () => Fault = () => 'none',
    connection?: Connection,
  ): Promise<T> {
    const { life } = actor
    const next = () => {
      if (!connection) return
      const following = actor.life === life ? connection.queue.shift() : undefined
      if (following) following(false)
      else connection.busy = false
    }
    return new Promise<T>((resolve, reject) => {
      const answer = (settle: () => void, suffix: string) => {
        if (actor.life === life) add({ dueMs: nowMs, name: `${name} ${suffix}`, actor, travelling: false, run: settle })
      }
      const run = () => {
        const kind = fault()
        // A connection that breaks takes with it what was sent after.
        if (kind === 'fails-before') for (const following of connection?.queue.splice(0) ?? []) following(true)
        next()
        if (kind === 'fails-before') {
          answer(() => reject(new Unreachable(`${name}: no connection`)), 'not reached')
          return
        }
        handle({
          resolve: (value) => {
            if (kind === 'none') answer(() => resolve(value), 'answered')
            else answer(() => reject(new Unreachable(`${name}: connection lost`)), 'answer lost')
          },
          reject: (error) => answer(() => reject(error), 'refused'),
        })
      }
      const start = (broken: boolean) => {
        if (broken) answer(() => reject(new Unreachable(`${name}: the connection broke`)), 'not sent')
        else add({ dueMs: nowMs, name, actor, travelling: true, run })
      }
      if (connection?.busy) connection.queue.push(start)
      else {
        if (connection) connection.busy = true
        start(false)
      }
    })
  }

  /** A request that is handled at once. */
  function call<T>(
    actor: Actor,
    name: string,
    apply: () => T,
    fault?: () => Fault,
    connection?: Connection,
  ): Promise<T> {
    return request<T>(
      actor,
      name,
      (respond) => {
        let value: T
        try {
          value = apply()
        } catch (error) {
          respond.reject(error)
          return
        }
        respond.resolve(value)
      },
      fault,
      connection,
    )
  }

  /** The process dies: what it waited for is gone; a request already on its way is lost or arrives, as the seed decides. */
  function kill(actor: Actor) {
    actor.alive = false
    actor.life++
    pending = pending.filter((step) => step.actor !== actor || (step.travelling && random.chance(0.5)))
    for (const step of pending) {
      if (step.actor === actor) step.actor = undefined
    }
    trace?.(`${nowMs - startMs} ${actor.name} CRASHES`)
  }

  /** Runs steps until `done` says so, time is up, or nothing is left to do. Returns why it stopped. */
  async function run(
    done: () => boolean,
    untilMs: number,
    maximumSteps: number,
  ): Promise<'done' | 'time' | 'steps' | 'idle'> {
    const lastStep = steps + maximumSteps
    for (;;) {
      // Everything that follows from the last step runs before this comes back. A tick that is asked for in a microtask comes when no
      // microtask is left; an immediate is dearer and only needed where production waits for one.
      if (immediates > 0) {
        immediates--
        await new Promise<void>((resolve) => setImmediate(resolve))
      } else await new Promise<void>((resolve) => process.nextTick(resolve))
      if (broken !== undefined) throw broken
      if (done()) return 'done'
      if (pending.length === 0) return 'idle'
      if (steps >= lastStep) return 'steps'
      let due = 0
      let earliestMs = Infinity
      for (const step of pending) {
        if (step.dueMs <= nowMs) due++
        else if (step.dueMs < earliestMs) earliestMs = step.dueMs
      }
      if (due === 0) {
        if (earliestMs > untilMs) return 'time'
        nowMs = earliestMs
        continue
      }
      let chosen = random.below(due)
      const at = pending.findIndex((step) => step.dueMs <= nowMs && chosen-- === 0)
      const step = pending[at]!
      pending.splice(at, 1)
      steps++
      // Most steps take no time, so that many things meet in one millisecond.
      if (random.chance(0.3)) nowMs += 1 + random.below(3)
      trace?.(`${nowMs - startMs} ${step.actor?.name ?? '-'} ${step.name}`)
      step.run()
    }
  }

  return {
    now: () => nowMs,
    steps: () => steps,
    later,
    sleep,
    request,
    call,
    kill,
    run,
    /** Something waits for the next turn of the event loop: let it come before the next step. */
    awaitsImmediate: () => {
      immediates = 2
    },
    /** Runs a check. What it throws ends the run at the next step: a guarantee broke. */
    guard: (check: () => void): void => {
      try {
        check()
      } catch (error) {
        broken ??= error
      }
    },
  }
}
