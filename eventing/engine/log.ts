/** The part of pino's logger that the engine needs. */
export type { KafkaLog as EngineLog } from '@stampede/shared/kafka/connect.ts'

export const silentLog = { debug() {}, info() {}, warn() {}, error() {} }
