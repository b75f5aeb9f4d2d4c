/** What every measurement is given, and what it hands back. */
import type { JWK } from 'jose'
import type { Generator } from './generator.ts'
import type { Say } from '../lib/terminal.ts'

export type BenchServices = { REDIS_URL: string; DATABASE_URL: string; KAFKA_BROKERS: string }

export type BenchContext = {
  services: BenchServices
  /** Keys and secrets of the functions. */
  identity: Record<string, string>
  /** For mint: the private key of access tokens. */
  signingKey: JWK
  generator: Generator
  /** Seconds of one run of the load generator. */
  seconds: number
  rounds: number
  connections: number
  /** Size of the larger measurements: purchases of the pipeline, past purchases of the latency row. */
  purchases: number
  past: number
  memorySeconds: number
  /** Folder for files of this run; deleted at the end. */
  folder: string
  say: Say
  /** Raw figures, as they come: all of them go into the file. */
  record(row: string, figures: Record<string, unknown>): void
}

/** What the last line of the command says. */
export type BenchFigures = {
  ratios: Record<string, number>
  perSecond: Record<string, number>
  /** CPU micros for each request: of the server's process, and of Redis where it takes part. */
  cpuMicros: Record<string, number>
  ordersStoredPerSecond?: number
  [other: string]: unknown
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export const rounded = (value: number, digits = 2): number => Number(value.toFixed(digits))
