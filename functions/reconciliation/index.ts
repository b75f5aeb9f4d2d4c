import { activityCancelled, activitySettled, inventoryAllocated } from '@stampede/eventing/catalogue/events.ts'
import { defineFunction, every, on } from '@stampede/shared/function/declaration.ts'
import { createReconciliation, reconciliationConfig, type Reconciliation } from './reconciliation.ts'
import { routes } from './routes.ts'

export const reconciliationFunction = defineFunction({
  name: 'reconciliation',
  summary: 'Every minute of a sale: its stock in Redis against its orders; repairs what is safe, reports the rest.',
  config: reconciliationConfig,
  connect: (config, host) => createReconciliation(config, host),
  routes,
  events: [
    on(inventoryAllocated, (event, reconciliation: Reconciliation) => reconciliation.watch(event.data), {
      ordered: true,
    }),
    on(activitySettled, (event, reconciliation: Reconciliation) => reconciliation.end(event.data), { ordered: true }),
    on(activityCancelled, (event, reconciliation: Reconciliation) => reconciliation.end(event.data), { ordered: true }),
  ],
  schedules: [
    every('compare', '17 * * * *', (reconciliation: Reconciliation) => reconciliation.tick(), { alarm: true }),
    every('prune', '17 3 * * *', (reconciliation: Reconciliation) => reconciliation.prune()),
  ],
  ready: (reconciliation) => reconciliation.ready(),
  stop: (reconciliation) => reconciliation.stop(),
})
