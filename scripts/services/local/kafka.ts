import { mkdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Say } from '../../lib/terminal.ts'
import { checks } from '../checks.ts'
import { SetupError, type RunningService } from '../types.ts'
import { findProgram } from './find-program.ts'
import { ensureKafkaJars } from './kafka-jars.ts'
import { startLocal, type LocalOptions } from './local-service.ts'
import { copiedFolder, preparedFolder } from './prepared-folder.ts'
import { run } from './run.ts'

/** One node that is never part of a larger cluster: its id is the same everywhere. */
const clusterId = 'c3RhbXBlZGUtbG9jYWwtMQ'
/** Small heap, serial collector, quick compiler: starts in seconds and leaves the cores to what is measured. */
const jvmFlags = ['-Xms64m', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:+ExitOnOutOfMemoryError']
const log4j = join(import.meta.dirname, '..', 'kafka', 'log4j2.xml')

export async function startKafka(options: LocalOptions, say: Say): Promise<RunningService> {
  const java = findProgram('java')
  if (!java) throw new SetupError('java is not installed')
  const { folder, sharedFolder, ports } = options
  const jars = await ensureKafkaJars(sharedFolder, say)
  const classpath = ['-cp', join(jars, '*'), `-Dlog4j2.configurationFile=${log4j}`]
  await mkdir(folder, { recursive: true })
  const data = join(folder, 'data')
  const template = join(sharedFolder, 'prepared', `kafka-${basename(jars)}`)
  await preparedFolder(template, async (temporary) => {
    const configuration = join(folder, 'format.properties')
    await writeFile(configuration, serverProperties(temporary, ports))
    const { code, output } = await run(
      java,
      [
        '-Xmx128m',
        '-XX:+UseSerialGC',
        '-XX:TieredStopAtLevel=1',
        ...classpath,
        'kafka.tools.StorageTool',
        'format',
        '--cluster-id',
        clusterId,
        '--config',
        configuration,
      ],
      { limitMs: 120_000 },
    )
    if (code !== 0) throw new SetupError(`Kafka could not format its data folder: ${output}`)
  })
  await copiedFolder(template, data)

  const configuration = join(folder, 'server.properties')
  await writeFile(configuration, serverProperties(data, ports))
  const address = `127.0.0.1:${ports[0]}`
  return startLocal('kafka', options, {
    address,
    version: async () => `Kafka ${basename(jars).replace(/-[0-9a-f]{8}$/, '')}`,
    server: {
      title: 'Kafka',
      command: java,
      args: [...jvmFlags, ...classpath, 'kafka.Kafka', configuration],
      logFile: join(folder, 'kafka.log'),
      ready: () => checks.kafka(address),
      readyLimitMs: 90_000,
      stopLimitMs: 15_000,
      outlives: options.outlives,
    },
  })
}

/** One process that is broker and controller (KRaft). */
export function serverProperties(data: string, [port, controllerPort]: readonly [number, number]): string {
  const properties = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': data,
    'num.partitions': 4,
    // Topics are made on purpose, with the partitions they need; a wrong name is an error.
    'auto.create.topics.enable': false,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 8,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 4,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    // After a crash the broker may register again only when its earlier session has run out (9 s by default).
    'broker.session.timeout.ms': 3_000,
    'broker.heartbeat.interval.ms': 500,
    'group.initial.rebalance.delay.ms': 0,
    // Defaults are made for large machines: 128 MB for the cleaner, 10 MB of index for each partition.
    'log.cleaner.dedupe.buffer.size': 8_388_608,
    'log.index.size.max.bytes': 1_048_576,
    'log.retention.hours': 24,
    'num.network.threads': 2,
    'num.io.threads': 4,
  }
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}
