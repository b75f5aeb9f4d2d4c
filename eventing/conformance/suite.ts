import type { Check } from './check.ts'
import { deliveryChecks } from './delivery-checks.ts'
import { filterChecks } from './filter-checks.ts'
import { retryChecks } from './retry-checks.ts'
import { transportChecks } from './transport-checks.ts'

/** Everything that a broker of the platform has to do, in the order in which it is checked. */
export const conformanceChecks: readonly Check[] = [
  ...transportChecks,
  ...filterChecks,
  ...retryChecks,
  ...deliveryChecks,
]
