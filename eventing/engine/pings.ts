/** PingSources: which events are due at a moment, by cron, in UTC unless they say otherwise. */
import { Cron } from 'croner'
import type { EventMessage } from '@stampede/shared/events/cloud-event.ts'
import type { PingPlan } from './plan.ts'

/** The event of one moment of the schedule. Its id is made from that moment: sent twice it is the same event. */
export function pingEvent(plan: PingPlan, at: Date): EventMessage {
  return {
    attributes: {
      specversion: '1.0',
      id: `${plan.name}/${at.toISOString()}`,
      source: plan.source,
      type: 'dev.knative.sources.ping',
      time: at.toISOString(),
      ...(plan.contentType === undefined ? {} : { datacontenttype: plan.contentType }),
    },
    data: plan.data,
  }
}

/** Tells whether a whole minute is on the schedule. @throws TypeError when the schedule is none. */
export function scheduleOf({ cron, timezone }: Pick<PingPlan, 'cron' | 'timezone'>): (at: Date) => boolean {
  const job = new Cron(cron, { timezone, mode: '5-part', paused: true })
  return (at) => job.nextRun(new Date(at.getTime() - 1))?.getTime() === at.getTime()
}

const minuteMs = 60_000
/** A leader that takes over sends what was due while there was none, at most so far back. */
export const catchUpMs = 5 * minuteMs

export type Due<T> = { ping: T; minute: Date }

/**
 * What became due after `lastMs` and until `nowMs`, and up to when that was. A ping is due its offset after each minute that is on
 * its schedule. Without a last time nothing was missed.
 */
export function dueSince<T extends { offsetMs: number; isDue: (minute: Date) => boolean }>(
  pings: readonly T[],
  lastMs: number | undefined,
  nowMs: number,
): { due: Due<T>[]; untilMs: number } | undefined {
  if (lastMs === undefined) return undefined
  const afterMs = Math.max(lastMs, nowMs - catchUpMs)
  let untilMs = afterMs
  const due: Due<T>[] = []
  for (let minute = Math.floor(afterMs / minuteMs) * minuteMs; minute <= nowMs; minute += minuteMs) {
    for (const ping of pings) {
      const atMs = minute + ping.offsetMs
      if (atMs <= afterMs || atMs > nowMs) continue
      untilMs = Math.max(untilMs, atMs)
      if (ping.isDue(new Date(minute))) due.push({ ping, minute: new Date(minute) })
    }
  }
  return untilMs === afterMs ? undefined : { due, untilMs }
}
