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

export const minuteMs = 60_000
/** A leader that takes over sends what was due while there was none, at most so far back. */
export const catchUpMs = 5 * minuteMs

/** The whole minutes after `lastMs` up to `nowMs`, in order. Without a last one nothing was missed. */
export function momentsSince(lastMs: number | undefined, nowMs: number): Date[] {
  const current = Math.floor(nowMs / minuteMs) * minuteMs
  if (lastMs === undefined) return []
  const moments: Date[] = []
  for (let at = Math.max(lastMs + minuteMs, current - catchUpMs + minuteMs); at <= current; at += minuteMs) {
    moments.push(new Date(at))
  }
  return moments
}
