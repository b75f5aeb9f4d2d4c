import { taskName } from '../alarms/alarm.ts'
import { gridAfter } from '../alarms/grid.ts'
import type { HostServices } from '../function/declaration.ts'
import { Problem } from '../http/problem.ts'

/** Rows are counted this often while they grow. */
export const measureEveryMs = 300_000
/** The task that counts. A test holds that it exists. */
export const measureStorage = taskName('tenant', 'measure-storage')

/**
 * Before staff create something: throws Problem `quota-exceeded` when the tenant has more rows than its quota allows, as `tenant`
 * counted last, and has it count again soon. What buyers do and what a sale that runs needs does not ask.
 */
export async function mustHaveRoom(
  { access, alarms }: Pick<HostServices, 'access' | 'alarms'>,
  tenantId: string,
  now: () => number,
): Promise<void> {
  const { storageExceeded, quota } = await access.load(tenantId)
  if (storageExceeded) {
    throw new Problem(
      'quota-exceeded',
      'The tenant has as many rows as its quota allows; nothing new can be created.',
      {
        retryable: false,
      },
    )
  }
  if (quota.storageRows !== undefined) await alarms.ofOther(measureStorage, gridAfter(now(), measureEveryMs))
}
