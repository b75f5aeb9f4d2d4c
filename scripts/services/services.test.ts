import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { freePort, serviceAddresses } from '@stampede/shared/testing/services.ts'
import { isAlive, ownIdentity, startTimeOf } from '../setup/processes.mjs'
import { findEngine } from './engine.ts'
import { givenService, withoutPassword } from './given.ts'
import { findProgram } from './local/find-program.ts'
import { serverProperties } from './local/kafka.ts'
import { copiedFolder, preparedFolder } from './local/prepared-folder.ts'
import { browserPackages, commandsFor, installScript, javaVersion, neededPackages } from './packages.ts'
import { choosePorts } from './ports.ts'
import { cleanUpAfterCrashes, readRecord, Records, stateOf, type RunRecord } from './records.ts'
import { serviceNames, SetupError } from './types.ts'

const temporaryFolder = async (t: ExecutionContext) => {
  const folder = await mkdtemp(join(tmpdir(), 'stampede-services-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}
const names = (packages: readonly { name: string }[]) => packages.map(({ name }) => name)
const complete = {
  redis: 'Redis server v=7.0.15',
  mariadb: true,
  java: 'openjdk version "17.0.15"',
  maven: true,
  kafkaJars: false,
}

test('packages – a fresh machine needs all of them, with a reason each', (t) => {
  const packages = neededPackages(serviceNames, { mariadb: false, maven: false, kafkaJars: false })
  t.deepEqual(names(packages), ['redis-server', 'mariadb-server', 'default-jre-headless', 'maven'])
  t.true(packages.every(({ why }) => why.length > 5))
})

test('packages – a complete machine needs none', (t) => {
  t.deepEqual(neededPackages(serviceNames, complete), [])
})

for (const [condition, found, expected] of [
  ['Maven is not needed when the jars are there', { maven: false, kafkaJars: true }, []],
  ['Maven is needed for the jars', { maven: false }, ['maven']],
  ['a Java that is too old is replaced', { java: 'openjdk version "11.0.2" 2019-01-15' }, ['default-jre-headless']],
  ['a Java of the old numbering is too old', { java: 'java version "1.8.0_292"' }, ['default-jre-headless']],
  ['a Redis that is too old is replaced', { redis: 'Redis server v=6.0.16' }, ['redis-server']],
  ['only MariaDB is missing', { mariadb: false }, ['mariadb-server']],
] as const) {
  test(`packages – ${condition}`, (t) => {
    t.deepEqual(names(neededPackages(serviceNames, { ...complete, ...found })), [...expected])
  })
}

test('packages – what is not asked for is not installed', (t) => {
  t.deepEqual(names(neededPackages(['redis'], { mariadb: false, maven: false, kafkaJars: false })), ['redis-server'])
})

test('Java – its version is read in every form', (t) => {
  t.deepEqual(javaVersion('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime'), [17, 0])
  t.deepEqual(javaVersion('openjdk version "21" 2023-09-19'), [21, 0])
  t.deepEqual(javaVersion('openjdk 25.0.1 2025-10-21'), [25, 0])
  t.deepEqual(javaVersion('java version "1.8.0_292"'), [1, 8])
})

const packages = [
  { name: 'redis-server', why: 'Redis' },
  { name: 'maven', why: 'Kafka' },
]

/** A machine of shell scripts that note how they are called. */
async function pretendedMachine(t: ExecutionContext, programs: Record<string, string>) {
  const folder = await temporaryFolder(t)
  const log = join(folder, 'log')
  for (const [name, body] of Object.entries(programs)) {
    const path = join(folder, name)
    await writeFile(path, `#!/bin/sh\necho "${name} $*" >> ${log}\n${body}\n`)
    await chmod(path, 0o755)
  }
  const policy = join(folder, 'policy-rc.d')
  const runScript = async () => {
    const script = installScript(packages).replace('policy=/usr/sbin/policy-rc.d', `policy=${policy}`)
    const child = spawn('sh', ['-c', script], { env: { PATH: `${folder}:/usr/bin:/bin` }, stdio: 'ignore' })
    const [code] = (await once(child, 'close')) as [number]
    return { code, calls: (await readFile(log, 'utf8')).trim().split('\n') }
  }
  return { policy, runScript }
}

test('installation – no service is started by it, and nothing is left behind', async (t) => {
  const machine = await pretendedMachine(t, {
    dpkg: '',
    'apt-get': `if [ "$1" = install ]; then test -x "$(dirname "$0")/policy-rc.d" || exit 9; "$(dirname "$0")/policy-rc.d"; test $? = 101; fi`,
    systemctl: '',
  })
  const { code, calls } = await machine.runScript()
  t.is(code, 0)
  t.is(calls[0], 'dpkg --configure -a')
  t.deepEqual(calls.slice(1, 3), commandsFor(packages))
  t.false(existsSync(machine.policy))
})

test('installation – a policy of the administrator stays as it is', async (t) => {
  const machine = await pretendedMachine(t, { dpkg: '', 'apt-get': '', systemctl: '' })
  await writeFile(machine.policy, '#!/bin/sh\nexit 0\n')
  t.is((await machine.runScript()).code, 0)
  t.is(await readFile(machine.policy, 'utf8'), '#!/bin/sh\nexit 0\n')
})

test('installation – a failing one tells and still takes the policy away', async (t) => {
  const machine = await pretendedMachine(t, { dpkg: '', 'apt-get': 'test "$1" = update', systemctl: '' })
  t.not((await machine.runScript()).code, 0)
  t.false(existsSync(machine.policy))
})

test('installation – old package lists do not prevent it', async (t) => {
  const machine = await pretendedMachine(t, { dpkg: '', 'apt-get': 'test "$1" != update', systemctl: '' })
  t.is((await machine.runScript()).code, 0)
})

test('installation – removes no other package', (t) => {
  t.true(commandsFor(packages)[1]?.includes('--no-remove'))
})

const engineOf = (answers: Record<string, number>, environment = {}) =>
  findEngine(environment, async (command) => ({ code: answers[command.slice(0, 2).join(' ')] ?? 127 }))

test('engine – none when nothing answers or no compose command is there', async (t) => {
  t.is(await engineOf({}), undefined)
  t.is(await engineOf({ 'docker version': 0 }), undefined)
  t.is(await engineOf({ 'docker version': 1, 'docker compose': 0 }), undefined)
})

test('engine – Docker before Podman, with whichever compose command it has', async (t) => {
  t.deepEqual(await engineOf({ 'docker version': 0, 'docker compose': 0, 'podman info': 0, 'podman compose': 0 }), {
    name: 'docker',
    compose: ['docker', 'compose'],
  })
  t.deepEqual(await engineOf({ 'docker version': 0, 'docker-compose version': 0 }), {
    name: 'docker',
    compose: ['docker-compose'],
  })
  t.deepEqual(await engineOf({ 'podman info': 0, 'podman-compose version': 0 }), {
    name: 'podman',
    compose: ['podman-compose'],
  })
})

test('engine – the environment chooses or leaves it out', async (t) => {
  const both = { 'docker version': 0, 'docker compose': 0, 'podman info': 0, 'podman compose': 0 }
  t.is((await engineOf(both, { STAMPEDE_ENGINE: 'podman' }))?.name, 'podman')
  t.is(await engineOf(both, { STAMPEDE_ENGINE: 'none' }), undefined)
  await t.throwsAsync(engineOf({}, { STAMPEDE_ENGINE: 'docker' }), { instanceOf: SetupError })
})

test('given service – one that answers is described with its version', async (t) => {
  const { redisUrl, databaseUrl, kafkaBrokers } = serviceAddresses()
  const described = await Promise.all([
    givenService('redis', redisUrl),
    givenService('mariadb', databaseUrl),
    givenService('kafka', kafkaBrokers.join(',')),
  ])
  t.regex(described[0].description, /^Redis \d+\.\d+.*REDIS_URL/)
  t.regex(described[1].description, /^(MariaDB|MySQL) \d+\.\d+.*DATABASE_URL/)
  t.regex(described[2].description, /^Kafka.*KAFKA_BROKERS/)
  await t.throwsAsync(described[0].kill('SIGKILL'), {
    instanceOf: SetupError,
    message: /not ended or restarted from here/,
  })
})

test('given service – one that does not answer is a plain error without the password', async (t) => {
  // A free port may be given to another test; nothing listens on the first one.
  const port = 1
  for (const [name, address, variable] of [
    ['redis', `redis://user:secret@127.0.0.1:${port}`, 'REDIS_URL'],
    ['mariadb', `mysql://user:secret@127.0.0.1:${port}/x`, 'DATABASE_URL'],
    ['kafka', `127.0.0.1:${port}`, 'KAFKA_BROKERS'],
  ] as const) {
    const error = await t.throwsAsync(givenService(name, address), { instanceOf: SetupError })
    t.regex(
      error?.message ?? '',
      new RegExp(`127\\.0\\.0\\.1:${port}.*cannot be used: .*ECONNREFUSED[\\s\\S]*${variable}`),
    )
    t.false(error?.message.includes('secret'))
  }
})

test('given service – passwords are hidden in messages', (t) => {
  t.is(withoutPassword('mysql://user:pa%20ss@host/db'), 'mysql://user:…@host/db')
  t.is(withoutPassword('redis://host:1'), 'redis://host:1')
})

test('ports – a wanted one that is free is taken, a busy one is not', async (t) => {
  // Another process of this machine may take a free port at any moment, but not each of five.
  const taken = []
  for (let attempt = 0; attempt < 5; attempt++) {
    const free = await freePort()
    taken.push((await choosePorts([free, 0]))[0] === free)
  }
  t.true(taken.includes(true))
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const busy = (server.address() as AddressInfo).port
  const [chosen, none] = await choosePorts([busy, 0])
  t.not(chosen, busy)
  t.is(none, 0)
  server.close()
})

test('program – is found on the PATH and among the servers of the system', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'tool'), '')
  t.is(findProgram('tool', folder, []), undefined, 'not executable')
  await chmod(join(folder, 'tool'), 0o755)
  t.is(findProgram('tool', `/nowhere:${folder}`, []), join(folder, 'tool'))
  t.is(findProgram('tool', '', [folder]), join(folder, 'tool'))
  await mkdir(join(folder, 'directory'))
  t.is(findProgram('directory', folder, []), undefined)
})

test('prepared folder – is complete or absent', async (t) => {
  const root = await temporaryFolder(t)
  const folder = join(root, 'prepared')
  await t.throwsAsync(
    preparedFolder(folder, async (temporary) => {
      await writeFile(join(temporary, 'half'), '')
      throw new Error('interrupted')
    }),
  )
  t.false(existsSync(folder))
  await Promise.all(
    [1, 2, 3].map(() => preparedFolder(folder, (temporary) => writeFile(join(temporary, 'whole'), 'yes'))),
  )
  await preparedFolder(folder, async () => t.fail('it is there already'))
  await copiedFolder(folder, join(root, 'copy'))
  t.is(await readFile(join(root, 'copy', 'whole'), 'utf8'), 'yes')
})

test('Kafka – listens on loopback only and makes no topic by itself', (t) => {
  const properties = serverProperties('/data', [1234, 1235])
  t.true(properties.includes('listeners=PLAINTEXT://127.0.0.1:1234,CONTROLLER://127.0.0.1:1235\n'))
  t.true(properties.includes('auto.create.topics.enable=false\n'))
  t.false(properties.includes('0.0.0.0'))
})

const one = { pid: 1, startTime: '1' }
const two = { pid: 2, startTime: '1', name: 'redis' }
for (const [condition, record, living, expected] of [
  ['nothing is known', undefined, [], 'free'],
  ['its owner lives', { owner: one, processes: [] }, [1], 'busy'],
  ['its owner died and its processes run', { owner: one, processes: [two] }, [2], 'stale'],
  ['its owner and its processes died', { owner: one, processes: [two] }, [], 'free'],
  ['its processes are kept up on their own', { processes: [two] }, [2], 'busy'],
  ['its processes were kept up and died', { processes: [two] }, [], 'free'],
] as const) {
  test(`record – ${expected} when ${condition}`, (t) => {
    const whole = record && ({ ports: {}, ...record } as unknown as RunRecord)
    t.is(
      stateOf(whole, ({ pid }) => (living as readonly number[]).includes(pid)),
      expected,
    )
  })
}

test('record – what a crashed run left behind is ended, and nothing else', async (t) => {
  const stampede = await temporaryFolder(t)
  const stray = spawn('sleep', ['60'])
  const innocent = spawn('sleep', ['60'])
  t.teardown(() => innocent.kill('SIGKILL'))
  const identityOf = (pid: number) => ({ pid, startTime: startTimeOf(pid) as string })
  const dead = { pid: process.pid, startTime: '1' }
  const crashed = join(stampede, 'runs', 'test-1')
  const living = join(stampede, 'runs', 'test-2')
  const kept = join(stampede, 'services')
  for (const folder of [crashed, living, kept]) await mkdir(folder, { recursive: true })
  const write = (folder: string, record: RunRecord) => writeFile(join(folder, 'run.json'), JSON.stringify(record))
  await write(crashed, {
    owner: dead,
    ports: {},
    processes: [
      { name: 'redis', ...identityOf(stray.pid as number) },
      // Its id was given to another process since.
      { name: 'kafka', ...identityOf(innocent.pid as number), startTime: '1' },
    ],
  })
  await write(living, {
    owner: ownIdentity(),
    ports: {},
    processes: [{ name: 'redis', ...identityOf(innocent.pid as number) }],
  })
  await write(kept, { ports: {}, processes: [{ name: 'redis', ...identityOf(innocent.pid as number) }] })
  t.deepEqual(await cleanUpAfterCrashes(stampede), ['1 process'])
  t.true(isAlive(identityOf(innocent.pid as number)))
  t.is(stray.signalCode ?? 'SIGTERM', 'SIGTERM')
  t.is(startTimeOf(stray.pid as number), undefined)
  t.deepEqual([crashed, living, kept].map(existsSync), [false, true, true])
})

test('record – remembers processes and ports', async (t) => {
  const folder = await temporaryFolder(t)
  const records = new Records(folder, false)
  records.record.ports['redis'] = [7, 0]
  records.started('redis', process.pid)
  records.started('redis', process.pid)
  t.is(readRecord(folder)?.processes.length, 1)
  records.ended()
  t.deepEqual(readRecord(folder)?.processes, [])
  t.deepEqual(new Records(folder, false).record.ports['redis'], [7, 0])
  await writeFile(join(folder, 'run.json'), '{"proc')
  t.is(readRecord(folder), undefined)
})

test('packages – a browser only where there is none', (t) => {
  t.deepEqual(browserPackages(true), [])
  t.true(browserPackages(false).some(({ name }) => name === 'chromium'))
})
