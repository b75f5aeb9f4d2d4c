/** What the parts of the host share about one `serve` call. */
import type { Logger } from 'pino'
import type { Counter, Histogram, Registry } from 'prom-client'
import type { AccessChecker } from '../access/types.ts'
import type { Alarms } from '../alarms/alarms.ts'
import type { Configuration } from '../configuration/types.ts'
import type { Retries } from '../events/retries.ts'
import type { TokenVerifier } from '../identity/access-token.ts'
import type { AnyFunction } from './declaration.ts'
import type { HostConfig } from './host-config.ts'

/** A definition with what its `connect` returned. */
export type Mounted = { definition: AnyFunction; dependencies: unknown; log: Logger; metrics: Registry }

export type Host = {
  config: HostConfig
  log: Logger
  verifier: TokenVerifier
  access: AccessChecker
  alarms: Alarms
  retries: Configuration<Retries>
  mounted: Mounted[]
  registries: readonly Registry[]
  measures: Measures
  /** From the first moment of shutting down: not ready any more, connections are closed after their answer. */
  closing: boolean
  /** Aborted when draining begins: when nothing new is accepted. */
  draining: AbortController
  /** Aborted when the time for draining is over: whatever still runs is given up. */
  ending: AbortController
}

export type Measures = {
  requestSeconds: Histogram<'route' | 'method' | 'status'>
  eventSeconds: Histogram<'function' | 'type' | 'outcome'>
  refused: Counter<'reason'>
}
