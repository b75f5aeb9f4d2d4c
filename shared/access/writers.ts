import type { TaskName } from '../alarms/alarm.ts'

/** Who writes the access directory again, each its own part, when Redis forgot. A test holds that these tasks exist. */
export const accessWriters = [
  'tenant/write-directory',
  'permission/write-directory',
  'user/write-directory',
  'auth/correct-access',
] as const satisfies readonly TaskName[]
