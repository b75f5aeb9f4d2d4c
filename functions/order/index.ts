import {
  activityCancelled,
  activityClosed,
  activitySettled,
  inventoryAllocated,
  paymentSucceeded,
  purchaseAccepted,
} from '@stampede/eventing/catalogue/events.ts'
import { defineFunction, every, on } from '@stampede/shared/function/declaration.ts'
import { closeAllocation, settleAllocation, takeTerms, withdrawAllocation } from './keep-allocation.ts'
import { createOrderServices, orderConfig, type OrderServices } from './order.ts'
import { routes } from './routes.ts'

export const orderFunction = defineFunction({
  name: 'order',
  summary: 'Orders: accepted purchases become orders, are paid or cancelled; the last guard against overselling.',
  config: orderConfig,
  connect: createOrderServices,
  routes,
  events: [
    on(purchaseAccepted, (event, order: OrderServices) => order.onPurchasesAccepted(event.data), {
      kafkaTopic: 'seckill.orders',
      ordered: true,
    }),
    on(inventoryAllocated, (event, order: OrderServices) => takeTerms(event, event.data, order.effects), {
      ordered: true,
    }),
    on(activityClosed, (event, order: OrderServices) => closeAllocation(event, event.data, order.effects), {
      ordered: true,
    }),
    on(activityCancelled, (event, order: OrderServices) => withdrawAllocation(event, event.data, order.effects), {
      ordered: true,
    }),
    on(activitySettled, (event, order: OrderServices) => settleAllocation(event, event.data, order.effects), {
      ordered: true,
    }),
    on(paymentSucceeded, (event, order: OrderServices) => order.onPaymentSucceeded(event.data), { ordered: true }),
  ],
  schedules: [
    every('cancel-overdue', '12 * * * *', (order: OrderServices) => order.cancelOverdue(), { alarm: true }),
    every('prune-inbox', '12 3 * * *', (order: OrderServices) => order.pruneInbox()),
  ],
  ready: (order) => order.ready(),
  stop: (order) => order.stop(),
})
