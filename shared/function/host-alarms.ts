/** The alarms of a process: one connection for all of its functions, made when the first alarm is set. */
import type { Logger } from 'pino'
import { Counter, type Registry } from 'prom-client'
import { taskName } from '../alarms/alarm.ts'
import { createAlarms, type Alarms } from '../alarms/alarms.ts'
import { connectRedis } from '../redis/connect.ts'
import { occasionally } from '../telemetry/occasionally.ts'
import type { AnyFunction, FunctionAlarms } from './declaration.ts'

/** Failures come with each alarm while Redis is away; the log gets one in this time. */
const logEveryMs = 5_000
/** Nobody waits longer than this for an alarm to be set. */
const timeoutMs = 500
/** What rings before its cause is committed rings for nothing. Longer than a transaction waits for locks. */
const commitMs = 6_000

/** Does the function have tasks that alarms start? */
export const hasAlarms = ({ schedules = [] }: AnyFunction): boolean =>
  schedules.some(({ options }) => options.alarm === true)

export function createHostAlarms(redisUrl: string | undefined, log: Logger, registry: Registry): Alarms {
  const failures = new Counter({
    name: 'alarms_not_set_total',
    help: 'Alarms that Redis did not take at first; they are set as soon as it answers.',
    registers: [registry],
  })
  const report = occasionally((error: unknown) => log.warn({ error }, 'an alarm could not be set yet'), {
    everyMs: logEveryMs,
  })
  let alarms: Alarms | undefined
  const open = (url: string) =>
    createAlarms({
      redis: connectRedis(url, {
        connectionName: 'alarms',
        queueWhileDisconnected: false,
        commandTimeoutMs: timeoutMs,
        connectTimeoutMs: timeoutMs,
      }),
      onFailure: (error) => {
        failures.inc()
        report(error)
      },
    })
  return {
    // Without Redis there is no function with alarms in this process, nor an access directory.
    set: async (...parameters) => redisUrl !== undefined && (alarms ??= open(redisUrl)).set(...parameters),
    close: async () => alarms?.close(),
  }
}

/** What one function gets of them. */
export const alarmsOf = (alarms: Alarms, functionName: string, now: () => number = Date.now): FunctionAlarms => ({
  set: async (task, atMs) => void (await alarms.set(taskName(functionName, task), atMs)),
  beforeCommit: async (task, atMs) =>
    void (await alarms.set(taskName(functionName, task), Math.max(atMs, now() + commitMs))),
  ofOther: async (task, atMs) => void (await alarms.set(task, atMs)),
})
