/**
 * How many passes a buyer, a device and an address get in a window, and how many buyers a device serves in an activity. One script
 * call for each pass that is asked for; presses of "buy" know nothing of it.
 */
import type { Cluster, Redis } from 'ioredis'
import { admitPass } from '@stampede/lua/generated/scripts.ts'
import { runScript } from '../redis/run-script.ts'

/** 0: not limited. */
export type PassLimits = {
  windowMs: number
  byUser: number
  byDevice: number
  byAddress: number
  usersByDevice: number
}

export type PassApplicant = {
  tenantId: string
  activityId: string
  userId: string
  /** Empty: unknown, and then no limit of devices applies. */
  device: string
  /** Empty: unknown. */
  address: string
}

export type PassAdmission =
  | { admitted: true }
  | { admitted: false; limit: 'user' | 'device' | 'address' | 'users-of-device'; retryAfterMs: number }

const limits = ['user', 'device', 'address', 'users-of-device'] as const

/** `rememberMs`: how long the users of a device count, usually until the sale is over. Rejects when Redis does not answer. */
export async function admitApplicant(
  redis: Redis | Cluster,
  applicant: PassApplicant,
  most: PassLimits,
  rememberMs: number,
): Promise<PassAdmission> {
  const byDevice = applicant.device === '' ? 0 : most.byDevice
  const usersByDevice = applicant.device === '' ? 0 : most.usersByDevice
  const byAddress = applicant.address === '' ? 0 : most.byAddress
  if (most.byUser + byDevice + byAddress + usersByDevice === 0) return { admitted: true }
  const reply = await runScript(redis, admitPass, [
    ...keysOf(applicant),
    most.windowMs,
    most.byUser,
    byDevice,
    byAddress,
    usersByDevice,
    Math.max(1, Math.ceil(rememberMs)),
    applicant.userId,
  ])
  const [which, retryAfterMs] = (reply as (number | string)[]).map(Number) as [number, number]
  const limit = limits[which - 1]
  return limit === undefined ? { admitted: true } : { admitted: false, limit, retryAfterMs: Math.max(0, retryAfterMs) }
}

/** One hash tag: a script works on keys of one slot. Addresses hold `:`, which is why they come last. */
function keysOf({ tenantId, activityId, userId, device, address }: PassApplicant): string[] {
  const prefix = `seckill:{${tenantId}:${activityId}}:passes:`
  return [
    `${prefix}user:${userId}`,
    `${prefix}device:${device}`,
    `${prefix}address:${address}`,
    `${prefix}device-users:${device}`,
  ]
}
