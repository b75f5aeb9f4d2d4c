/** How many rows a tenant has, in the functions that hold most of them. */
import { z } from 'zod'
import { createServiceClient } from '@stampede/shared/http/client.ts'

const answer = z.object({ rows: z.int().min(0) })
/** Counting millions of rows takes its time. */
const timeoutMs = 30_000
/** More than this nobody counts: it is over every quota that makes sense, or has none. */
const maximumRows = 10_000_000

export type StorageSources = {
  orderUrl?: string | undefined
  inventoryUrl?: string | undefined
  activityUrl?: string | undefined
}

/** Resolves to the sum over the functions whose addresses are known; each stops counting above `quota`. Rejects when one does not answer. */
export function createStorageMeter(sources: StorageSources, service: string, secret: string) {
  const functions = [
    { baseUrl: sources.orderUrl, path: '/api/v1/order-rows' },
    { baseUrl: sources.inventoryUrl, path: '/api/v1/inventory-rows' },
    { baseUrl: sources.activityUrl, path: '/api/v1/activity-rows' },
  ].flatMap(({ baseUrl, path }) =>
    baseUrl === undefined ? [] : [{ path, client: createServiceClient({ baseUrl, service, secret, timeoutMs }) }],
  )
  return async (tenantId: string, quota: number): Promise<number> => {
    const most = Math.min(maximumRows, quota + 1)
    const counted = await Promise.all(
      functions.map(({ client, path }) => client.get(`${path}?most=${most}`, tenantId, answer)),
    )
    return counted.reduce((sum, { rows }) => sum + rows, 0)
  }
}
