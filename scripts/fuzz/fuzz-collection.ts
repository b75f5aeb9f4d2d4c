/** The whole collection, fuzzed as each kind of caller, with things of every kind in it. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { platformAdministrator, platformPermissions, type Permission } from '@stampede/shared/access/permissions.ts'
import { platformTenant } from '@stampede/shared/identity/service-token.ts'
import { functions } from '../../functions/index.ts'
import { caller, openSale, press, startCollection, type Collection } from '../../functions/testing.ts'
import type { Say } from '../lib/terminal.ts'
import { runSlice, type SliceResult } from './run-slice.ts'
import { slicesOf, type Caller, type KnownIds } from './slices.ts'

export type FuzzOptions = {
  /** Python that has Schemathesis. */
  python: string
  /** At least so many cases over all callers; more rounds follow until they are reached. */
  cases: number
  seed: number
  say: Say
  /** Only these callers; default: all. */
  callers?: readonly Caller[]
}

export type FuzzResult = { cases: number; slices: SliceResult[]; failures: string[] }

const maximumRounds = 20
const limitMsOfRun = 1_800_000
const tenantId = 'fuzz'
const userId = 'fuzz-user'

export async function fuzzCollection(options: FuzzOptions): Promise<FuzzResult> {
  const folder = await mkdtemp(join(tmpdir(), 'stampede-fuzz-'))
  const collection = await startCollection()
  try {
    const slices = slicesOf(functions, await makeThings(collection), isPlatform).filter(
      ({ caller: name }) => options.callers?.includes(name) ?? true,
    )
    const operations = slices.reduce((sum, slice) => sum + slice.operations, 0)
    const results: SliceResult[] = []
    const total = () => results.reduce((sum, { cases }) => sum + cases, 0)
    for (let round = 0; round < maximumRounds && total() < options.cases; round++) {
      const casesPerOperation = Math.max(1, Math.ceil((options.cases - total()) / operations))
      for (const slice of slices) {
        const result = await runSlice(slice, {
          python: options.python,
          url: collection.url,
          folder,
          seed: options.seed + round,
          casesPerOperation,
          // A token lives for minutes, a run may take longer: each slice gets a new one.
          headers: await headersOf(collection, slice.caller),
          limitMs: limitMsOfRun,
        })
        results.push(result)
        options.say(`${slice.caller}: ${result.cases} cases, ${result.failures.length} failures`)
        if (result.errors.length > 0) break
      }
      if (results.some(({ errors }) => errors.length > 0)) break
    }
    const failures = results.flatMap(({ caller: name, failures: own, errors }) =>
      [...own, ...errors].map((text) => `${name}: ${text}`),
    )
    return { cases: total(), slices: results, failures: [...new Set(failures)] }
  } finally {
    await collection.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

const isPlatform = (permission: string): boolean => platformPermissions.has(permission as Permission)

async function headersOf({ identity }: Collection, name: Caller): Promise<Record<string, string>> {
  if (name === 'public') return {}
  const token =
    name === 'service'
      ? await identity.serviceToken(tenantId)
      : await identity.token(
          name === 'platform'
            ? { tenantId: platformTenant, userId, roles: [platformAdministrator] }
            : { tenantId, userId, roles: name === 'staff' ? ['administrator'] : [] },
        )
  return { authorization: `Bearer ${token}` }
}

/** One of everything, so that requests find something; ids that do not exist are made up by the fuzzer. */
async function makeThings(collection: Collection): Promise<KnownIds> {
  const call = caller(collection, await collection.identity.token({ tenantId, userId, roles: ['administrator'] }))
  await call('PUT', '/api/v1/stocks/phone', { version: 0, onHand: 5_000, reason: 'counted' })
  const service = await collection.identity.serviceToken(tenantId)
  const reservationId = `basket-${randomBytes(4).toString('hex')}`
  await call('POST', '/api/v1/reservations', { reservationId, variantId: 'phone', quantity: 2 }, service)
  const draft = await call('POST', '/api/v1/activities', {
    name: 'A draft',
    variantId: 'phone',
    stock: 5,
    buckets: 1,
    startsAt: new Date(Date.now() + 3_600_000).toISOString(),
    endsAt: new Date(Date.now() + 7_200_000).toISOString(),
    priceCents: 19_900,
    currency: 'EUR',
  })
  const activityId = await openSale(collection, call, { variantId: 'phone', stock: 200, buckets: 2, perUserLimit: 50 })
  const bought = await press(collection, { tenantId, userId, activityId })
  const run = await call('POST', '/api/v1/reconciliation-runs', { activityId })
  return {
    activityId: [activityId, String(draft.body['activityId'])],
    variantId: ['phone'],
    reservationId: [reservationId],
    orderNumber: [String(bought.body['orderNumber'])],
    runId: [String(run.body['runId'])],
    userId: [userId],
    // Never the tenant that the other callers work in: it would be closed.
    tenantId: ['fuzz-victim'],
  }
}
