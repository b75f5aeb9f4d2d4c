import { activityCancelled, activityScheduled, activitySettled } from '@stampede/eventing/catalogue/events.ts'
import { defineFunction, every, on } from '@stampede/shared/function/declaration.ts'
import { createInventory, inventoryConfig, type Inventory } from './inventory.ts'
import { routes } from './routes.ts'

export const inventoryFunction = defineFunction({
  name: 'inventory',
  summary: 'Stock of each variant: reservations, ledger, the stock of activities, and its warm-up into Redis.',
  config: inventoryConfig,
  connect: createInventory,
  routes,
  events: [
    on(activityScheduled, (event, inventory: Inventory) => inventory.onScheduled(event), { ordered: true }),
    on(activityCancelled, (event, inventory: Inventory) => inventory.onCancelled(event), { ordered: true }),
    on(activitySettled, (event, inventory: Inventory) => inventory.onSettled(event), { ordered: true }),
  ],
  schedules: [
    every('warm-up', '7 * * * *', (inventory: Inventory) => inventory.warmUpDue(), { alarm: true }),
    every('prune-inbox', '7 3 * * *', (inventory: Inventory) => inventory.pruneInbox()),
  ],
  ready: (inventory) => inventory.ready(),
  stop: (inventory) => inventory.stop(),
})
