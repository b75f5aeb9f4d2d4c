/** The connection of one process to the simulated Redis: what `ioredis` is in production, for the commands of the sale. */
import type { Redis } from 'ioredis'
import type { Actor, Connection, Fault, Scheduler } from '../scheduler.ts'
import type { RedisReply, SimulatedRedis } from './redis.ts'

export type Argument = string | number
export type RedisObserver = (name: string, parameters: readonly Argument[], actor: Actor) => void

export function createRedisClient(options: {
  actor: Actor
  scheduler: Scheduler
  redis: SimulatedRedis
  fault: () => Fault
  /** Called after each command that was applied. */
  applied: RedisObserver
  /** Name of a script by its hash; undefined: steps need no names. */
  scriptName: ((sha: string) => string) | undefined
}): Redis {
  const { actor, scheduler, redis, fault, applied, scriptName } = options
  const connection: Connection = { busy: false, queue: [] }
  const send = (name: string, parameters: readonly Argument[]): Promise<RedisReply> =>
    scheduler.call(
      actor,
      scriptName ? describe(name, parameters, scriptName) : 'redis',
      () => {
        try {
          return redis.command(scheduler.now(), name, parameters)
        } finally {
          applied(name, parameters, actor)
        }
      },
      fault,
      connection,
    )
  // ioredis flattens lists of arguments, and makes an object of a hash.
  const command =
    (name: string) =>
    async (...parameters: (Argument | Argument[])[]) => {
      const reply = await send(name, parameters.flat())
      if (name !== 'hgetall') return reply
      const fields = reply as string[]
      return Object.fromEntries(Array.from({ length: fields.length / 2 }, (_, i) => [fields[2 * i], fields[2 * i + 1]]))
    }
  const commands = new Map<string, unknown>()
  return new Proxy({} as Redis, {
    get: (_target, name) => {
      if (typeof name !== 'string' || name === 'then') return undefined
      let found = commands.get(name)
      if (!found) {
        found = command(name)
        commands.set(name, found)
      }
      return found
    },
  })
}

function describe(name: string, parameters: readonly Argument[], scriptName: (sha: string) => string): string {
  if (name === 'evalsha')
    return `redis ${scriptName(String(parameters[0]))} ${parameters.slice(2).join(' ').replaceAll('\n', ' | ')}`
  if (name === 'eval') return `redis eval ${parameters.slice(2).join(' ').replaceAll('\n', ' | ')}`
  return `redis ${name} ${parameters.join(' ')}`
}
