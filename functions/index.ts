/** Every function of the collection, in the order of a sale. */
import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import { activityFunction } from './activity/index.ts'
import { inventoryFunction } from './inventory/index.ts'
import { orderFunction } from './order/index.ts'
import { permissionFunction } from './permission/index.ts'
import { reconciliationFunction } from './reconciliation/index.ts'
import { seckillFunction } from './seckill/index.ts'
import { tenantFunction } from './tenant/index.ts'

export const functions: readonly AnyFunction[] = [
  activityFunction,
  seckillFunction,
  inventoryFunction,
  orderFunction,
  reconciliationFunction,
  tenantFunction,
  permissionFunction,
]
