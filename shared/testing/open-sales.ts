/** Warmed-up sales in the Redis of the tests, which all go at the end. */
import { connectRedis } from '../redis/connect.ts'
import { createSaleStore } from '../sale/redis-sale-store.ts'
import type { SaleDefinition, SaleState } from '../sale/types.ts'
import { bucketRef, newSale } from './sale.ts'
import { serviceAddresses } from './services.ts'

export function openSales() {
  const redis = connectRedis(serviceAddresses().redisUrl)
  const store = createSaleStore(redis)
  const sales: SaleDefinition[] = []
  /** A sale that the test warms up itself. */
  const plan = (overrides: Partial<SaleDefinition> = {}): SaleDefinition => {
    const sale = newSale(overrides)
    sales.push(sale)
    return sale
  }
  return {
    redis,
    store,
    plan,
    /** A warmed-up sale and its first bucket. */
    open: async (overrides: Partial<SaleDefinition> = {}, options?: { state?: SaleState; left?: number }) => {
      const sale = plan(overrides)
      await store.warmUp(sale, options)
      return { sale, bucket: bucketRef(sale) }
    },
    close: async () => {
      await Promise.all(sales.map((sale) => store.expire(sale, 0)))
      redis.disconnect()
    },
  }
}
