/** Gateways as processes of their own, and load. */
import { createTestIdentity, type TestIdentity } from '@stampede/shared/testing/identity.ts'
import { startRedis, type OwnRedis } from '@stampede/shared/testing/services.ts'
import { functionNames } from './declared.ts'
import { noLimits, spawnGateway, type Document, type GatewayProcess, type TestUpstream } from './testing.ts'

/** Two gateways in each file of tests, with a Redis of their own: each test gives them another configuration. */
export let redis: OwnRedis
export let identity: TestIdentity
export let gateways: readonly [GatewayProcess, GatewayProcess]
const nobody = 'http://127.0.0.1:9'

/** For `test.before`. */
export async function startProcesses(): Promise<void> {
  redis = await startRedis()
  identity = await createTestIdentity()
  const environment = { LIMITS_REDIS_URL: redis.url, ACCESS_CONTROL: 'built-in' }
  gateways = await Promise.all([
    spawnGateway(nobody, noLimits, { identity, environment }),
    spawnGateway(nobody, noLimits, { identity, environment }),
  ])
}

/** For `test.after.always`. */
export async function stopProcesses(): Promise<void> {
  await Promise.all((gateways ?? []).map((gateway) => gateway.stop()))
  await redis?.stop()
}

/** All functions are at `upstream` unless the document says otherwise. */
export async function configured(upstream: TestUpstream, document: Document): Promise<GatewayProcess> {
  const everywhere = Object.fromEntries(functionNames.map((name) => [name, { addresses: [{ url: upstream.url }] }]))
  const upstreams: Document['upstreams'] = { ...everywhere }
  for (const [name, settings] of Object.entries(document.upstreams ?? {})) {
    upstreams[name] = { ...everywhere[name], ...settings }
  }
  await Promise.all(gateways.map((gateway) => gateway.configure({ ...document, upstreams })))
  return gateways[0]
}

export const live = '/api/v1/seckill/a1/live'
export const press = '/api/v1/seckill/a1/purchases'
export const pass = { 'stampede-pass': 'v2.k.p.m', 'content-type': 'application/json' }

/** Statuses of `count` requests, so many at a time. */
export async function load(
  count: number,
  atOnce: number,
  send: (index: number) => Promise<Response>,
): Promise<number[]> {
  const statuses: number[] = []
  let next = 0
  const worker = async () => {
    while (next < count) {
      const response = await send(next++)
      await response.arrayBuffer()
      statuses.push(response.status)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return statuses
}

export const countOf = (statuses: readonly number[], status: number) => statuses.filter((one) => one === status).length
export const presses = (url: string, count: number, atOnce = 20) =>
  load(count, atOnce, () => fetch(url + press, { method: 'POST', headers: pass, body: '{}' }))
