/** PingSources: sends their event by cron, in UTC unless they say otherwise. */
import { Cron } from 'croner'
import type { EventMessage } from '@stampede/shared/events/cloud-event.ts'
import type { Deliver } from './deliver.ts'
import type { PingPlan } from './plan.ts'

export type RunningPing = { stop(): void }

/** The event of one moment of the schedule. Its id is made from that moment: two engines would send the same event. */
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

/** @throws TypeError when the schedule is none. */
export function startPing(plan: PingPlan, deliver: Deliver, signal: AbortSignal): RunningPing {
  const job = new Cron(plan.cron, { timezone: plan.timezone, mode: '5-part' }, async () => {
    // croner rounds to the second; the moment is a whole minute.
    const at = new Date(Math.floor(Date.now() / 60_000) * 60_000)
    await deliver(pingEvent(plan, at), { pauses: signal, requests: signal })
  })
  return { stop: () => job.stop() }
}
