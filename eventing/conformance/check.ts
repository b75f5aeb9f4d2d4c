import type { BrokerUnderTest } from './broker-under-test.ts'

/** One rule that a broker has to keep. `run` rejects with an AssertionError when it does not. */
export type Check = {
  title: string
  /** Only promised by the local engine: Knative does less, or only with a feature switched on. */
  localOnly?: boolean
  /** Needs a broker that keeps the order of a partition key; one on in-memory channels does not. */
  ordered?: boolean
  /** Needs a way to crash the broker. */
  crashes?: boolean
  run: (broker: BrokerUnderTest) => Promise<void>
}
