/** What commands need to know of the services, wherever they come from. */
export const serviceNames = ['redis', 'mariadb', 'kafka'] as const
export type ServiceName = (typeof serviceNames)[number]

/** The variables that functions, tests and commands read. Those of services that were not asked for are what the environment says, or empty. */
export type ServiceEnvironment = { REDIS_URL: string; DATABASE_URL: string; KAFKA_BROKERS: string }

export const variableOf: Record<ServiceName, keyof ServiceEnvironment> = {
  redis: 'REDIS_URL',
  mariadb: 'DATABASE_URL',
  kafka: 'KAFKA_BROKERS',
}

export const titleOf: Record<ServiceName, string> = { redis: 'Redis', mariadb: 'MariaDB', kafka: 'Kafka' }

/** One service that answers. */
export type RunningService = {
  name: ServiceName
  /** Value of its variable. */
  address: string
  /** For people: version and where it comes from. */
  description: string
  /** The process, when it is a child of ours. */
  pid?: number | undefined
  /** Ends it in order. Nothing for a service that was given. */
  stop(): Promise<void>
  /** Sends the signal and waits until it has ended. Rejects for a service that was given: it is not ours to end. */
  kill(signal: NodeJS.Signals): Promise<void>
  /** Starts it again on the same address with the same data; resolves when it answers. */
  restart(): Promise<void>
}

/** A failure that a person can do something about: the message says what. */
export class SetupError extends Error {
  override readonly name = 'SetupError'
}
