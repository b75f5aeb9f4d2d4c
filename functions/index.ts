/** The functions of the collection, in the order of a sale; and the gateway, which is a process of its own in front of them. */
import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import { activityFunction } from './activity/index.ts'
import { auditFunction } from './audit/index.ts'
import { authFunction } from './auth/index.ts'
import { gatewayFunction } from './gateway/index.ts'
import { inventoryFunction } from './inventory/index.ts'
import { notificationFunction } from './notification/index.ts'
import { orderFunction } from './order/index.ts'
import { permissionFunction } from './permission/index.ts'
import { reconciliationFunction } from './reconciliation/index.ts'
import { seckillFunction } from './seckill/index.ts'
import { tenantFunction } from './tenant/index.ts'
import { userFunction } from './user/index.ts'

export const functions: readonly AnyFunction[] = [
  activityFunction,
  seckillFunction,
  inventoryFunction,
  orderFunction,
  reconciliationFunction,
  tenantFunction,
  permissionFunction,
  auditFunction,
  userFunction,
  authFunction,
  notificationFunction,
]

/** Everything that is deployed. */
export const everyFunction: readonly AnyFunction[] = [...functions, gatewayFunction]
