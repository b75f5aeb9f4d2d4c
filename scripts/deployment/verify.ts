/**
 * The step `verify`: a person's whole way through the deployed platform, along the route that people take. Each step is timed; the
 * first that fails tells where to look.
 */
import { randomBytes } from 'node:crypto'
import { trialStaff } from '../cluster/identity.ts'
import { routeOf, type Route } from '../cluster/route.ts'
import { NoAnswerError, send, type RouteAnswer, type RouteCall } from '../cluster/send.ts'
import { answeredPassBody } from '../sale/challenge.ts'
import { namespace, type DeployContext } from './context.ts'

export type Person = { userId: string; token: string }

export type VerifyOptions = {
  /** `host:port` of the ingress. */
  ingress: string | undefined
  /** Everything is asked at this name, that of the step `gateway`; undefined: of each function at the name that Knative gave it. */
  domain: string | undefined
  /** A token for a person with these roles. */
  tokenFor: (userId: string, roles: readonly string[]) => Promise<string>
  /** Longest wait for each thing that happens by events. */
  waitMs: number
}

export type VerifyReport = {
  ok: boolean
  steps: { step: string; ok: boolean; ms: number; detail?: string }[]
  activityId?: string
  orderNumber?: string
}

/** A step did not go as it has to. `look` are commands that show more. */
class StepFailure extends Error {
  override readonly name = 'StepFailure'
  readonly look: readonly string[]
  constructor(message: string, look: readonly string[]) {
    super(message)
    this.look = look
  }
}

const functions = ['activity', 'inventory', 'order', 'seckill'] as const
type FunctionName = (typeof functions)[number]

const startsInMs = 8_000
const units = 3

export async function verify(context: DeployContext, options: VerifyOptions): Promise<VerifyReport> {
  const { kubectl, say, now, sleep, connection } = context
  const report: VerifyReport = { ok: true, steps: [] }
  const routes = new Map<FunctionName | 'shop', Route>()
  const run = `verify-${randomBytes(4).toString('hex')}`
  let clockOffsetMs = 0
  const cleaning: (() => Promise<unknown>)[] = []

  const step = async <T>(title: string, look: readonly string[], work: () => Promise<T>): Promise<T> => {
    const beganMs = now()
    const record = (ok: boolean, detail?: string) =>
      report.steps.push({
        step: title,
        ok,
        ms: Math.round(now() - beganMs),
        ...(detail === undefined ? {} : { detail }),
      })
    try {
      const result = await work()
      record(true)
      say(`✔ ${title} (${Math.round(now() - beganMs)} ms)`)
      return result
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error)
      record(false, detail)
      say(`✘ ${title} (${Math.round(now() - beganMs)} ms): ${detail}`)
      throw new StepFailure(detail, look)
    }
  }
  const routeTo = (name: FunctionName) => (routes.get('shop') ?? routes.get(name)) as Route
  const ask = (route: Route, path: string, request: RouteCall = {}) =>
    send(route, path, { timeoutMs: options.waitMs, ...request })
  const call = (name: FunctionName, path: string, request?: RouteCall) => ask(routeTo(name), path, request)
  const until = async <T>(what: string, look: () => Promise<T | undefined>): Promise<T> => {
    const deadlineMs = now() + options.waitMs
    for (;;) {
      const found = await look().catch((error: unknown) => {
        // A port forwarding that broke is opened again by itself.
        if (error instanceof NoAnswerError && now() <= deadlineMs) return undefined
        throw error
      })
      if (found !== undefined) return found
      if (now() > deadlineMs) throw new Error(`${what} did not happen within ${Math.round(options.waitMs / 1_000)} s`)
      await sleep(250)
    }
  }

  try {
    await step('routes to the functions', [`kubectl -n ${namespace} get services.serving.knative.dev`], async () => {
      const ingress = options.ingress === undefined ? {} : { ingress: options.ingress }
      const find = (service: string) => routeOf(kubectl, { namespace, service, connection, ...ingress })
      await Promise.all(functions.map(async (name) => routes.set(name, await find(name))))
      if (options.domain !== undefined) routes.set('shop', underName(await find('gateway'), options.domain))
    })
    const seckill = routeTo('seckill')
    say(`  ${seckill.url} by ${seckill.connect} (${seckill.by})`)
    const staff = await step('a token for staff', [], async () =>
      authorised(await options.tokenFor(trialStaff, ['administrator'])),
    )
    const buyerId = `${run}-buyer`
    const buyer = await step('a token for a buyer', [], async () => authorised(await options.tokenFor(buyerId, [])))

    await step('every function answers', podsHint(), async () => {
      // Together: each may have to start from zero.
      const answers = await Promise.all(functions.map((name) => ask(routes.get(name) as Route, '/health/readiness')))
      for (const answer of answers) clockOffsetMs = offsetOf(expectStatus(answer, [200]), now())
    })
    await step('the tenant is known, and staff may act', [tenantsHint, ...logsHint('tenant')], async () => {
      // Right after a start, or when Redis forgot everything, nobody knows yet who may do what.
      await until('an answer to who may do what', async () => {
        const answer = await call('activity', '/api/v1/activities?limit=1', get(staff))
        return answer.status === 503 ? undefined : expectStatus(answer, [200])
      })
    })
    await step('stock', logsHint('inventory'), async () => {
      const body = { version: 0, onHand: units, lowStockThreshold: 0, reason: 'a trial of the deployment' }
      expectStatus(await call('inventory', `/api/v1/stocks/${run}`, put(staff, body)), [200, 201])
    })
    // By the cluster's clock: this machine's may be another one.
    const startsAtMs = now() + clockOffsetMs + startsInMs
    const activityId = await step('an activity', logsHint('activity'), async () => {
      const answer = await call('activity', '/api/v1/activities', post(staff, activityTerms(run, startsAtMs)))
      return String(objectOf(expectStatus(answer, [201]))['activityId'])
    })
    report.activityId = activityId
    const activity = `/api/v1/activities/${activityId}`
    cleaning.push(() => endActivity(call, staff, activity))
    await step('scheduled', logsHint('activity'), async () =>
      expectStatus(await call('activity', `${activity}/schedule`, post(staff)), [200]),
    )
    await step('allocated and warmed up (events there and back)', eventsHint('inventory'), () =>
      until('the warm-up', async () => {
        const { state } = objectOf(expectStatus(await call('activity', activity, get(staff)), [200]))
        if (state === 'allocation-refused') throw new Error('the allocation was refused')
        return state === 'warmed-up' || state === 'open' ? state : undefined
      }),
    )
    await step('pre-check', logsHint('activity'), async () => {
      const check = objectOf(expectStatus(await call('activity', `${activity}/pre-check`, post(staff)), [200]))
      if (check['ok'] !== true) throw new Error(`not ready: ${failedItems(check)}`)
    })
    const { pass, waitMs } = await step('a pass for the buyer', logsHint('seckill'), async () => {
      const path = `/api/v1/seckill/${activityId}/pass`
      let answer = expectStatus(await call('seckill', path, post(buyer)), [200, 403])
      if (answer.status === 403) {
        const body = answeredPassBody(objectOf(answer))
        if (body === undefined) throw new Error(`the challenge is not for programs: ${answer.text}`)
        const headers = { ...buyer, 'content-type': 'application/json' }
        answer = expectStatus(await call('seckill', path, { method: 'POST', headers, body }), [200])
      }
      const { pass: text, startsAt, now: there } = objectOf(answer)
      return { pass: String(text), waitMs: Date.parse(String(startsAt)) - Date.parse(String(there)) }
    })
    await step('the sale begins', logsHint('seckill'), () => sleep(Math.max(0, waitMs) + 300))
    const purchases = `/api/v1/seckill/${activityId}/purchases`
    const byPass = { 'stampede-pass': pass, 'content-type': 'application/json' }
    const orderNumber = await step('a purchase', logsHint('seckill'), async () => {
      const answer = expectStatus(
        await call('seckill', purchases, { method: 'POST', headers: byPass, body: '{"quantity":1}' }),
        [202],
      )
      return String(objectOf(answer)['orderNumber'])
    })
    report.orderNumber = orderNumber
    await step('a second purchase is refused', logsHint('seckill'), async () => {
      const answer = expectStatus(
        await call('seckill', purchases, { method: 'POST', headers: byPass, body: '{"quantity":1}' }),
        [409],
      )
      if (objectOf(answer)['orderNumber'] !== orderNumber)
        throw new Error(`refused, but not as a duplicate: ${answer.text}`)
    })
    await step('the order is stored (Redis → Kafka → source → order)', eventsHint('order'), () =>
      until('the order', async () => {
        const answer = expectStatus(await call('order', `/api/v1/orders/${orderNumber}`, get(buyer)), [200, 404])
        return answer.status === 200 ? true : undefined
      }),
    )
    cleaning.unshift(() => call('order', `/api/v1/orders/${orderNumber}/cancel`, post(buyer)))
    await step('the sale knows it (order → broker → trigger → seckill)', eventsHint('seckill'), () =>
      until('the confirmation', async () => {
        const answer = expectStatus(await call('seckill', `/api/v1/seckill/${activityId}/result`, get(buyer)), [200])
        return objectOf(answer)['state'] === 'confirmed' ? true : undefined
      }),
    )
    await step('the order is cancelled', logsHint('order'), async () =>
      expectStatus(await call('order', `/api/v1/orders/${orderNumber}/cancel`, post(buyer)), [200]),
    )
    cleaning.shift()
    await step('its unit is back in the sale (order → broker → trigger → seckill)', eventsHint('seckill'), () =>
      until('the release', async () => {
        const answer = expectStatus(await call('seckill', `/api/v1/seckill/${activityId}/result`, get(buyer)), [200])
        return objectOf(answer)['state'] === 'released' ? true : undefined
      }),
    )
  } catch (error) {
    report.ok = false
    if (!(error instanceof StepFailure)) throw error
    if (error.look.length > 0) say(['Worth a look:', ...error.look].join('\n  '))
  } finally {
    for (const undo of cleaning)
      await undo().catch((error: unknown) =>
        say(`Not cleaned up: ${error instanceof Error ? error.message : String(error)}`),
      )
    await Promise.all([...routes.values()].map((route) => route.close()))
  }
  return report
}

type Call = (name: FunctionName, path: string, request?: RouteCall) => Promise<RouteAnswer>

/** A sale that began is closed; one that did not is withdrawn. */
async function endActivity(call: Call, staff: Record<string, string>, activity: string): Promise<void> {
  const { state } = objectOf(await call('activity', activity, get(staff)))
  if (state === 'draft' || state === 'scheduled' || state === 'allocation-refused') {
    await call('activity', `${activity}/cancel`, post(staff))
    return
  }
  // The clock opens it once a minute; it can be closed from either state.
  if (state === 'warmed-up' || state === 'open' || state === 'paused')
    await call('activity', `${activity}/close`, post(staff))
}

const activityTerms = (variantId: string, startsAtMs: number) => ({
  name: 'A trial of the deployment',
  variantId,
  stock: units,
  perUserLimit: 1,
  buckets: 1,
  startsAt: new Date(startsAtMs).toISOString(),
  endsAt: new Date(startsAtMs + 600_000).toISOString(),
  priceCents: 100,
  currency: 'EUR',
  paymentTimeoutSeconds: 900,
})

/** How much later it is there, to the second. */
const offsetOf = ({ headers }: RouteAnswer, nowMs: number) => {
  const thereMs = Date.parse(headers.date ?? '')
  return Number.isNaN(thereMs) || Math.abs(thereMs - nowMs) < 2_000 ? 0 : thereMs - nowMs
}

/** The way stays the same: the name need not be in the DNS yet. */
const underName = (route: Route, host: string): Route => ({ ...route, host, url: `http://${host}` })

const authorised = (token: string) => ({ authorization: `Bearer ${token}` })
const get = (headers: Record<string, string>): RouteCall => ({ headers })
const withBody = (method: string, headers: Record<string, string>, body?: unknown): RouteCall => ({
  method,
  headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
  ...(body === undefined ? {} : { body: JSON.stringify(body) }),
})
const post = (headers: Record<string, string>, body?: unknown) => withBody('POST', headers, body)
const put = (headers: Record<string, string>, body: unknown) => withBody('PUT', headers, body)

function expectStatus(answer: RouteAnswer, statuses: readonly number[]): RouteAnswer {
  if (statuses.includes(answer.status)) return answer
  throw new Error(`answered ${answer.status} instead of ${statuses.join(' or ')}: ${answer.text.slice(0, 300)}`)
}

function objectOf({ text }: RouteAnswer): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    throw new Error(`not JSON: ${text.slice(0, 200)}`)
  }
}

function failedItems({ items }: Record<string, unknown>): string {
  const all = (items ?? []) as { item: string; ok: boolean; detail: string }[]
  return all
    .filter(({ ok }) => !ok)
    .map(({ item, detail }) => `${item} (${detail})`)
    .join(', ')
}

const podsHint = () => [
  `kubectl -n ${namespace} get pods`,
  `kubectl -n ${namespace} get events --sort-by=.lastTimestamp`,
]
const logsHint = (name: string) => [
  `kubectl -n ${namespace} logs -l serving.knative.dev/service=${name} -c user-container --tail=50`,
  ...podsHint(),
]
const tenantsHint = `kubectl -n ${namespace} get configmap stampede -o jsonpath='{.data.bootstrap-tenants}' (has the tokens' one?)`
const eventsHint = (name: string) => [
  ...logsHint(name),
  `kubectl -n ${namespace} logs deployment/eventing-engine --tail=50 (overlay local)`,
  `kubectl -n ${namespace} get brokers,triggers,kafkasources (other overlays)`,
]
