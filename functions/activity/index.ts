import {
  inventoryAllocated,
  inventoryAllocationRefused,
  inventoryWarmedUp,
  reconciliationCompleted,
} from '@stampede/eventing/catalogue/events.ts'
import { defineFunction, every, on } from '@stampede/shared/function/declaration.ts'
import { activityConfig, createActivityService, type ActivityService } from './activity.ts'
import { tick } from './clock.ts'
import { routes } from './routes.ts'

export const activityFunction = defineFunction({
  name: 'activity',
  summary: 'Flash-sale activities: from the draft to the settlement, with pre-check, report and a live page.',
  config: activityConfig,
  connect: (config, host) => createActivityService(config, host),
  routes,
  events: [
    on(inventoryAllocated, (event, activities: ActivityService) => activities.onAllocated(event), { ordered: true }),
    on(inventoryAllocationRefused, (event, activities: ActivityService) => activities.onAllocationRefused(event), {
      ordered: true,
    }),
    on(inventoryWarmedUp, (event, activities: ActivityService) => activities.onWarmedUp(event), { ordered: true }),
    on(reconciliationCompleted, (event, activities: ActivityService) => activities.onReconciled(event), {
      ordered: true,
    }),
  ],
  schedules: [
    every('clock', '2 * * * *', tick, { alarm: true }),
    every('prune-inbox', '2 3 * * *', (activities: ActivityService) => activities.pruneInbox()),
  ],
  ready: (activities) => activities.ready(),
  stop: (activities) => activities.stop(),
})
