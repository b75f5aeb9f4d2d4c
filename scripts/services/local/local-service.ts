/** What the three local services have in common. */
import type { RunningService, ServiceName } from '../types.ts'
import { ServerProcess, type ServerCommand } from './child.ts'

export type LocalOptions = {
  /** Absolute; holds this service's data and log. */
  folder: string
  /** Absolute; holds what all runs share: the Kafka jars, prepared data folders. */
  sharedFolder: string
  /** Free ports: the first is the service's address. */
  ports: readonly [number, number]
  /** Called with the process id of each process that is started. */
  started: (name: ServiceName, pid: number) => void
  outlives: boolean
}

export type LocalService = { address: string; server: ServerCommand; version: () => Promise<string> }

export async function startLocal(
  name: ServiceName,
  options: LocalOptions,
  service: LocalService,
): Promise<RunningService> {
  const child = new ServerProcess(service.server)
  const start = () => child.start((pid) => options.started(name, pid))
  await start()
  return {
    name,
    address: service.address,
    description: `${await service.version()}, port ${options.ports[0]}`,
    get pid() {
      return child.pid
    },
    stop: () => child.stop(),
    kill: (signal) => child.kill(signal),
    restart: async () => {
      await child.stop()
      await start()
    },
  }
}
