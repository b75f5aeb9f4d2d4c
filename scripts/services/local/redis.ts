import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { checks } from '../checks.ts'
import { SetupError, type RunningService } from '../types.ts'
import { findProgram } from './find-program.ts'
import { startLocal, type LocalOptions } from './local-service.ts'

export async function startRedis(options: LocalOptions): Promise<RunningService> {
  const program = findProgram('redis-server')
  if (!program) throw new SetupError('redis-server is not installed')
  const { folder, ports } = options
  const data = join(folder, 'data')
  await mkdir(data, { recursive: true })
  const address = `redis://127.0.0.1:${ports[0]}`
  return startLocal('redis', options, {
    address,
    version: () => checks.redis(address),
    server: {
      title: 'Redis',
      command: program,
      // The append-only file loses at most the last second or two; the sale's protocol makes up for those. A sale of millions that expires is
      // freed in the background: freed at once, it would hold up everyone else's sale for seconds.
      args: [
        '--port',
        String(ports[0]),
        '--bind',
        '127.0.0.1',
        '--dir',
        data,
        '--appendonly',
        'yes',
        '--appendfsync',
        'everysec',
      ].concat([
        '--save',
        '',
        '--maxmemory-policy',
        'noeviction',
        '--lazyfree-lazy-expire',
        'yes',
        '--daemonize',
        'no',
      ]),
      logFile: join(folder, 'redis.log'),
      ready: () => checks.redis(address),
      readyLimitMs: 30_000,
      stopLimitMs: 10_000,
      outlives: options.outlives,
    },
  })
}
