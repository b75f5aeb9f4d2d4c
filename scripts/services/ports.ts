import { freePort, isFree } from '@stampede/shared/testing/free-port.ts'
import type { ServiceName } from './types.ts'

/** Not the usual ports of the three, so that a system service of the machine is not in the way. Kafka has a second one for its controller. */
export const usualPorts: Record<ServiceName, [number, number]> = {
  redis: [16_379, 0],
  mariadb: [13_306, 0],
  kafka: [19_092, 19_093],
}

/** The wanted ports where they are free, others where they are taken. 0 is no port. */
export async function choosePorts(wanted: readonly [number, number] | undefined): Promise<[number, number]> {
  const [first, second] = wanted ?? [-1, -1]
  return [await choosePort(first), second === 0 ? 0 : await choosePort(second)]
}

async function choosePort(wanted: number): Promise<number> {
  return wanted > 0 && (await isFree(wanted)) ? wanted : freePort()
}
