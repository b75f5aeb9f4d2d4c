import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { checks } from '../checks.ts'
import { SetupError, type RunningService } from '../types.ts'
import { findProgram } from './find-program.ts'
import { startLocal, type LocalOptions } from './local-service.ts'
import { copiedFolder, preparedFolder } from './prepared-folder.ts'
import { run } from './run.ts'

const logFileSize = '--innodb-log-file-size=64M'
/** MariaDB refuses to run as root unless it is told to. */
const asRoot = () => (process.getuid?.() === 0 ? ['--user=root'] : [])

export async function startMariadb(options: LocalOptions): Promise<RunningService> {
  const program = findProgram('mariadbd')
  const installer = findProgram('mariadb-install-db')
  if (!program || !installer) throw new SetupError('mariadbd or mariadb-install-db is not installed')
  const { folder, ports, sharedFolder } = options
  await mkdir(folder, { recursive: true })
  const data = join(folder, 'data')
  const template = join(sharedFolder, 'prepared', await templateName(program))
  await preparedFolder(template, async (temporary) => {
    const { code, output } = await run(
      installer,
      [
        '--no-defaults',
        `--datadir=${temporary}`,
        '--auth-root-authentication-method=normal',
        '--skip-test-db',
        logFileSize,
        ...asRoot(),
      ],
      { limitMs: 120_000 },
    )
    if (code !== 0) throw new SetupError(`MariaDB could not make its data folder: ${output}`)
  })
  await copiedFolder(template, data)

  const password = await ownPassword(join(folder, 'password'))
  const initialise = join(folder, 'initialise.sql')
  await writeFile(initialise, initialiseSql(password, randomBytes(24).toString('base64url')), { mode: 0o600 })
  const address = `mysql://stampede:${password}@127.0.0.1:${ports[0]}/stampede`
  return startLocal('mariadb', options, {
    address,
    version: () => checks.mariadb(address),
    server: {
      title: 'MariaDB',
      command: program,
      args: [
        '--no-defaults',
        ...asRoot(),
        `--datadir=${data}`,
        // Relative to the data folder: the path of a socket may have 107 characters at most.
        '--socket=mariadb.sock',
        '--pid-file=mariadb.pid',
        `--port=${ports[0]}`,
        '--bind-address=127.0.0.1',
        '--skip-name-resolve',
        '--character-set-server=utf8mb4',
        '--collation-server=utf8mb4_bin',
        '--default-time-zone=+00:00',
        '--max-connections=400',
        '--innodb-buffer-pool-size=256M',
        logFileSize,
        // An acknowledged commit is on the disk.
        '--innodb-flush-log-at-trx-commit=1',
        `--init-file=${initialise}`,
      ],
      logFile: join(folder, 'mariadb.log'),
      ready: () => checks.mariadb(address),
      readyLimitMs: 60_000,
      stopLimitMs: 20_000,
      outlives: options.outlives,
    },
  })
}

/** A data folder of one version is not offered to another. */
async function templateName(program: string): Promise<string> {
  const { output } = await run(program, ['--no-defaults', '--version'], { limitMs: 10_000 })
  return `mariadb-${/Ver (\S+)/.exec(output)?.[1]?.replaceAll(/[^\w.-]/g, '_') ?? 'unknown'}`
}

/** Made once for a data folder; readable by its owner only. */
async function ownPassword(file: string): Promise<string> {
  const known = await readFile(file, 'utf8').catch(() => '')
  if (known !== '') return known
  const password = randomBytes(18).toString('base64url')
  await writeFile(file, password, { mode: 0o600 })
  return password
}

/** Runs at each start. Tests make databases of their own, so the user may do everything; nobody else gets in. */
function initialiseSql(password: string, rootPassword: string): string {
  return [
    `CREATE USER IF NOT EXISTS 'stampede'@'%';`,
    `ALTER USER 'stampede'@'%' IDENTIFIED BY '${password}';`,
    `GRANT ALL PRIVILEGES ON *.* TO 'stampede'@'%';`,
    `ALTER USER 'root'@'localhost' IDENTIFIED BY '${rootPassword}';`,
    `DROP USER IF EXISTS ''@'localhost';`,
    '',
  ].join('\n')
}
