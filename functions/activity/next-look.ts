/** When time next does something to an activity. */
import { gridAfter } from '@stampede/shared/alarms/grid.ts'
import type { Activity } from './store.ts'

const minuteMs = 60_000
const hourMs = 3_600_000
/** What failed, or is late, is tried again so soon. */
export const soonMs = 20_000

/**
 * The moment of the next look, ms; undefined when only people or events go on with it, or the look of each hour is enough. Before the
 * window it is its beginning; while the sale runs every minute, for the curve of the report and for a sale in Redis that says otherwise;
 * after the close every minute when it may be settled: in the hour after it, and in the hour after the last payment could come.
 */
export function nextLookMs(activity: Activity, nowMs: number): number | undefined {
  const nextMinuteMs = gridAfter(nowMs, minuteMs)
  switch (activity.state) {
    case 'scheduled':
    case 'warmed-up': {
      const startsAtMs = Date.parse(activity.startsAt)
      return startsAtMs > nowMs ? startsAtMs : gridAfter(nowMs, soonMs)
    }
    case 'open':
    case 'paused': {
      const endsAtMs = Date.parse(activity.endsAt)
      return endsAtMs > nowMs ? Math.min(endsAtMs, nextMinuteMs) : gridAfter(nowMs, soonMs)
    }
    case 'closed': {
      const closedAtMs = Date.parse(activity.updatedAt)
      const lastPaymentMs = closedAtMs + activity.paymentTimeoutSeconds * 1_000
      if (nowMs < closedAtMs + hourMs) return nextMinuteMs
      if (nowMs < lastPaymentMs) return lastPaymentMs
      return nowMs < lastPaymentMs + hourMs ? nextMinuteMs : undefined
    }
    default:
      return undefined
  }
}
