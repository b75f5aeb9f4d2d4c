/** What fails in a schedule: single requests by chance, whole services for a while, and nothing any more once it is calm. */
import type { BrokerFaults } from './broker.ts'
import type { Random } from './random.ts'
import type { Fault } from './scheduler.ts'
import type { Settings } from './settings.ts'

export type Service = 'redis' | 'database' | 'broker'

export type Failures = ReturnType<typeof createFailures>

export function createFailures({ faults }: Settings, random: Random) {
  const down = { redis: false, database: false, broker: false }
  let calm = false

  return {
    /** Services that nobody reaches at the moment. */
    down,
    isCalm: () => calm,
    /** No more faults. */
    calmDown: () => {
      calm = true
    },
    /** Of one request to a service. */
    ofRequest: (service: Service) => (): Fault => {
      if (down[service]) return 'fails-before'
      if (calm || !random.chance(faults.requests)) return 'none'
      return random.chance(0.5) ? 'fails-before' : 'fails-after'
    },
    /** Of a buyer's request: the answer is lost. */
    ofPress: (): Fault => (calm || !random.chance(faults.requests) ? 'none' : 'fails-after'),
    ofDelivery: (): BrokerFaults => ({
      duplicates: calm ? 0 : faults.duplicates,
      delayMs: calm ? 50 : faults.delayMs,
      deadLetters: calm ? 0 : faults.deadLetters,
    }),
    /** How long somebody is away who died. */
    downMs: {
      process: () => (random.chance(0.5) ? random.below(300) : random.below(10_000)),
      redis: () => (random.chance(0.4) ? 0 : random.below(2_500)),
      database: () => random.below(3_000),
      broker: () => random.below(9_000),
    },
  }
}
