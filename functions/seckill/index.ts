/** seckill: the hot path of a flash sale. Wiring only. */
import { z } from 'zod'
import {
  activityCancelled,
  activityClosed,
  activityPaused,
  activityResumed,
  orderCancelled,
  orderCreated,
  orderRejected,
} from '@stampede/eventing/catalogue/events.ts'
import {
  defineFunction,
  hotRoute,
  on,
  route,
  type Principal,
  type ReceivedEvent,
  type RouteRequest,
} from '@stampede/shared/function/declaration.ts'
import type { SaleState } from '@stampede/shared/sale/types.ts'
import { changeState } from './change-state.ts'
import { configuration, type SeckillConfig } from './config.ts'
import { connectSeckill, type Seckill } from './connect.ts'
import { liveQuery, liveSale } from './live.ts'
import { challengeReply, issuePass, offerChallenge, passInput, passReply, type PassRequest } from './pass-route.ts'
import { orderCreateInput, purchaseInput } from './purchase-input.ts'
import { orderCreatePath, purchasePath } from './purchase-route.ts'
import { purchaseResult } from './results.ts'
import { confirmOrders, releaseOrders, type OrdersOfActivity } from './settle-orders.ts'

const acceptedReply = z.object({ orderNumber: z.string(), status: z.literal('accepted') })
const headerOf = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value)

const refusals = [
  'duplicate',
  'sold-out',
  'ended',
  'over-limit',
  'not-found',
  'paused',
  'not-started',
  'rate-limited',
  'quota-exceeded',
  'overloaded',
  'recovering',
  'dependency-unavailable',
] as const

export const seckillFunction = defineFunction<SeckillConfig, Seckill>({
  name: 'seckill',
  summary: 'Flash sale: passes, purchases, results and the live view.',
  config: configuration,
  connect: connectSeckill,
  routes: [
    hotRoute(
      'POST',
      purchasePath,
      {
        auth: 'user',
        summary: 'Buy. Authenticated by the header stampede-pass or by an access token.',
        body: purchaseInput,
        reply: acceptedReply,
        status: 202,
        problems: refusals,
        bodyLimitBytes: 1_024,
      },
      (seckill) => seckill.routes.purchase,
    ),
    hotRoute(
      'POST',
      orderCreatePath,
      {
        auth: 'user',
        summary: 'Buy, in the form of the first version of the API; userId must be the caller.',
        body: orderCreateInput,
        reply: acceptedReply,
        status: 202,
        problems: refusals,
        bodyLimitBytes: 1_024,
      },
      (seckill) => seckill.routes.orderCreate,
    ),
    hotRoute(
      'GET',
      '/api/v1/seckill/:activityId/result',
      {
        auth: 'user',
        summary: 'What became of the purchase: at once, by long poll (waitSeconds), or as server-sent events.',
        query: z.object({ waitSeconds: z.coerce.number().int().min(0).max(30).optional() }),
        reply: purchaseResult,
        mediaTypes: ['text/event-stream'],
        problems: ['rate-limited', 'overloaded', 'dependency-unavailable'],
        // Longer than the longest poll.
        timeoutMs: 35_000,
      },
      (seckill) => seckill.result,
    ),
    route(
      'GET',
      '/api/v1/seckill/:activityId/challenge',
      {
        auth: 'user',
        summary: 'What must be solved for a pass, bound to the buyer, the activity and the header stampede-device.',
        reply: challengeReply,
        problems: ['not-started', 'ended', 'dependency-unavailable'],
      },
      (request, seckill: Seckill) => offerChallenge(applicationOf(request, seckill), seckill.protection.effects),
    ),
    route(
      'POST',
      '/api/v1/seckill/:activityId/pass',
      {
        auth: 'user',
        summary: 'A pass for purchases in this activity, bound to the buyer and the header stampede-device.',
        body: passInput,
        reply: passReply,
        problems: ['not-started', 'ended', 'rate-limited', 'dependency-unavailable'],
      },
      (request, seckill: Seckill) =>
        issuePass(
          { ...applicationOf(request, seckill), challengeAnswer: request.body?.challengeAnswer },
          seckill.protection.effects,
        ),
    ),
    route(
      'GET',
      '/api/v1/seckill/:activityId/live',
      {
        auth: 'public',
        summary: 'The sale as it runs; server-sent events each second when asked for.',
        query: liveQuery,
        reply: liveSale,
        mediaTypes: ['text/event-stream'],
        problems: ['overloaded', 'dependency-unavailable'],
      },
      ({ params, principal, query, headers }, seckill: Seckill) =>
        seckill.live.answer({
          activityId: params['activityId']!,
          principal,
          tenantId: query.tenantId,
          accept: headers.accept,
        }),
    ),
  ],
  events: [
    on(orderCreated, async ({ data }, seckill: Seckill) => void (await confirmOrders(data, seckill.settleEffects))),
    on(orderRejected, release),
    on(orderCancelled, release),
    on(activityPaused, become('paused'), { ordered: true }),
    on(activityResumed, become('open'), { ordered: true }),
    on(activityClosed, become('closed'), { ordered: true }),
    on(activityCancelled, become('closed'), { ordered: true }),
  ],
  ready: (seckill) => seckill.ready(),
  stop: (seckill) => seckill.stop(),
})

type Application = Pick<
  RouteRequest<unknown, unknown, Record<string, string>, Principal>,
  'params' | 'principal' | 'headers' | 'remoteAddress'
>

function applicationOf(
  { params, principal, headers, remoteAddress }: Application,
  { protection }: Seckill,
): PassRequest {
  return {
    principal,
    activityId: params['activityId']!,
    device: headerOf(headers['stampede-device']),
    address: protection.addressOf(remoteAddress, headerOf(headers['x-forwarded-for'])),
  }
}

async function release({ data }: ReceivedEvent<OrdersOfActivity>, seckill: Seckill): Promise<void> {
  await releaseOrders(data, seckill.settleEffects)
  seckill.sales.clearSoldOut(data.tenantId, data.activityId)
}

function become(state: SaleState) {
  return async ({ data }: ReceivedEvent<{ tenantId: string; activityId: string }>, seckill: Seckill): Promise<void> => {
    await changeState(data, state, seckill.settleEffects)
    const sale = seckill.sales.get(data.tenantId, data.activityId)
    if (sale) await seckill.sales.refresh(sale)
  }
}
