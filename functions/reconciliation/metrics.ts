/** What the runs of reconciliation count. */
import { Counter, Gauge } from 'prom-client'
import type { HostServices } from '@stampede/shared/function/declaration.ts'
import type { FoundInBucket, SaleRef } from './store.ts'

export function createMetrics(host: HostServices) {
  const registers = [host.metrics]
  const runs = new Counter({
    name: 'stampede_reconciliation_runs_total',
    help: 'Runs over one sale.',
    labelNames: ['outcome'],
    registers,
  })
  const found = new Counter({
    name: 'stampede_reconciliation_findings_total',
    help: 'Differences between Redis and orders, by kind and whether they were repaired.',
    labelNames: ['kind', 'repaired'],
    registers,
  })
  const openFindings = new Gauge({
    name: 'stampede_reconciliation_open_findings',
    help: 'Findings that the newest run of a sale left open: alert on any.',
    labelNames: ['activity'],
    registers,
  })
  const failed = new Counter({
    name: 'stampede_reconciliation_failures_total',
    help: 'Runs that did not finish.',
    registers,
  })
  return {
    failed,
    note(outcome: string, findings: readonly FoundInBucket[], sale: SaleRef) {
      runs.inc({ outcome })
      let open = 0
      for (const { kind, count, repaired } of findings) {
        found.inc({ kind, repaired: 'yes' }, Math.min(count, repaired))
        const left = count - Math.min(count, repaired)
        if (left > 0) found.inc({ kind, repaired: 'no' }, left)
        open += left
      }
      if (open > 0) openFindings.set({ activity: sale.activityId }, open)
      else openFindings.remove({ activity: sale.activityId })
    },
  }
}
