/** How the engine is spoken to, with a program in its place that writes down what it is asked. */
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import { endContainers, projectOf, startContainers, type ContainerRecord } from './containers.ts'
import { ensureServices } from './ensure.ts'
import { cleanUpAfterCrashes, Records, stateOf } from './records.ts'
import { SetupError } from './types.ts'

const path = process.env['PATH'] ?? ''

/** Has one container, network and volume until they are removed. `answers` are cases of a shell, and come first. */
async function engine(t: ExecutionContext, answers = '') {
  const folder = await mkdtemp(join(tmpdir(), 'stampede-engine-'))
  const calls = join(folder, 'calls')
  const script = `#!/bin/sh
echo "$*" >> '${calls}'
case "$*" in
  ${answers}
  'version --format '* | 'compose version') exit 0 ;;
  ps*) echo 'WARN: rootless' >&2; test -e '${folder}/removed' || echo c1 ;;
  'network ls'*) echo 'WARN: rootless' >&2; test -e '${folder}/gone' || echo n1 ;;
  'network rm'*) touch '${folder}/gone' ;;
  'volume ls'*) echo v1 ;;
  'rm '*) touch '${folder}/removed'; echo c1 ;;
esac`
  await writeFile(join(folder, 'docker'), script)
  await chmod(join(folder, 'docker'), 0o755)
  process.env['PATH'] = `${folder}:${path}`
  t.teardown(async () => {
    process.env['PATH'] = path
    await rm(folder, { recursive: true, force: true })
  })
  const label = `--filter label=com.docker.compose.project=p`
  return {
    folder,
    /** Without the label, which all of them have. */
    calls: async () =>
      (await readFile(calls, 'utf8'))
        .trim()
        .split('\n')
        .map((call) => call.replaceAll(` ${label}`, '')),
    /** The Redis of the tests answers there. */
    start: (
      keepData: boolean,
      records: ContainerRecord[] = [],
      port = Number(new URL(serviceAddresses().redisUrl).port),
    ) =>
      startContainers({
        engine: { name: 'docker', compose: ['docker', 'compose'] },
        project: 'p',
        need: ['redis'],
        ports: { redis: [port, 0], mariadb: [2, 0], kafka: [3, 0] },
        password: 's3',
        keepData,
        outlives: true,
        starting: (record) => records.push(record),
        say: () => {},
      }),
  }
}

test.serial('containers – compose starts them, and the engine ends them with all that belongs to them', async (t) => {
  const { start, calls } = await engine(t)
  const records: ContainerRecord[] = []
  const [redis] = await start(false, records)
  t.deepEqual(records, [{ engine: 'docker', project: 'p', keepData: false }])
  t.regex((await calls())[0] ?? '', /^compose --project-name p --file \S+\/compose\.yaml up --detach redis$/)
  await Promise.all([redis?.stop(), redis?.stop()])
  t.deepEqual((await calls()).slice(1), [
    'ps --quiet',
    'kill c1',
    'ps --all --quiet',
    'rm --force --volumes c1',
    'network ls --quiet',
    'network rm n1',
    'volume ls --quiet',
    'volume rm v1',
  ])
})

test.serial('containers – what is kept is stopped in order, and its volumes stay', async (t) => {
  const { start, calls } = await engine(t)
  const [redis] = await start(true)
  await redis?.stop()
  const all = await calls()
  t.true(all.includes('stop -t 10 c1'))
  t.true(all.includes('rm --force --volumes c1'))
  t.false(all.some((call) => call.startsWith('volume')))
})

test.serial('containers – are killed and started again by the engine: not every compose command can', async (t) => {
  const { start, calls } = await engine(t)
  const [redis] = await start(false)
  await redis?.kill('SIGKILL')
  await redis?.restart()
  const find = 'ps --all --quiet --filter label=com.docker.compose.service=redis'
  t.deepEqual((await calls()).slice(1), [find, 'kill --signal SIGKILL c1', 'wait c1', find, 'start c1'])
})

for (const [what, answers, expected] of [
  [
    'one that ended at once is not waited for, and its last lines say why',
    'inspect*) echo exited ;;\n  logs*) echo no space left >&2 ;;',
    'The container of Redis does not run (exited):\nno space left',
  ],
  [
    'one that was never made is not waited for, though podman-compose succeeded',
    '*--detach*) echo some words; echo Error: no such image >&2 ;;\n  ps*) exit 0 ;;',
    'docker has no container for Redis\nError: no such image',
  ],
] as const) {
  test.serial(`containers – ${what}`, async (t) => {
    const { start } = await engine(t, answers)
    const beganMs = performance.now()
    // Nothing listens on the first port.
    const error = await t.throwsAsync(start(false, [], 1), { instanceOf: SetupError })
    t.is(error?.message, expected)
    t.true(performance.now() - beganMs < 60_000)
  })
}

test.serial('containers – an engine that was asked for and fails is an error with the next step', async (t) => {
  const { folder } = await engine(t, `*'up --detach'*) echo the port is taken >&2; exit 1 ;;`)
  process.env['STAMPEDE_ENGINE'] = 'docker'
  t.teardown(() => delete process.env['STAMPEDE_ENGINE'])
  const dataFolder = join(folder, 'data')
  const ensure = ensureServices({ purpose: 'test', need: ['redis'], given: {}, dataFolder, say: () => {} })
  const error = await t.throwsAsync(ensure, { instanceOf: SetupError })
  t.regex(error?.message ?? '', /up failed:\nthe port is taken\nNext: .*STAMPEDE_ENGINE=none/)
})

test.serial('containers – of a run that died are ended by the next, when the engine answers', async (t) => {
  const stampede = await mkdtemp(join(tmpdir(), 'stampede-records-'))
  t.teardown(() => rm(stampede, { recursive: true, force: true }))
  const [crashed, kept] = [join(stampede, 'runs', 'test-1'), join(stampede, 'start')]
  for (const folder of [crashed, kept]) {
    await mkdir(folder, { recursive: true })
    const records = new Records(folder, false)
    records.record.owner = { pid: process.pid, startTime: '1' }
    records.startsContainers({ engine: 'docker', project: 'p', keepData: folder === kept })
  }
  await engine(t, `*) exit 1 ;;`)
  t.deepEqual(await cleanUpAfterCrashes(stampede), [])
  t.true(existsSync(crashed))
  const { calls } = await engine(t)
  t.deepEqual(await cleanUpAfterCrashes(stampede), ['the containers of p'])
  t.false(existsSync(crashed))
  t.is((await calls()).filter((call) => call.startsWith('rm ')).length, 1)
  t.deepEqual(await cleanUpAfterCrashes(stampede), [])
})

test.serial('containers – which are gone already are nothing to tell of', async (t) => {
  const { start } = await engine(t)
  const records: ContainerRecord[] = []
  const [redis] = await start(true, records)
  await redis?.stop()
  t.false(await endContainers(records[0]!))
})

test.serial('containers – an engine that is gone is an error with the next step', async (t) => {
  await engine(t, `*) echo Cannot connect >&2; exit 1 ;;`)
  const ending = endContainers({ engine: 'docker', project: 'p', keepData: true })
  const error = await t.throwsAsync(ending, { instanceOf: SetupError })
  t.regex(error?.message ?? '', /of p in docker could not be ended:\nCannot connect\nNext: start docker/)
})

test('record – containers count as running until they are ended', (t) => {
  const containers: ContainerRecord = { engine: 'docker', project: 'p', keepData: true }
  const owner = { pid: 1, startTime: '1' }
  const stateWith = (more: object, living = false) => stateOf({ ports: {}, processes: [], ...more }, () => living)
  t.is(stateWith({ containers }), 'busy')
  t.is(stateWith({ containers, owner }), 'stale')
  t.is(stateWith({ containers, owner }, true), 'busy')
  t.is(stateWith({ owner }), 'free')
})

test('containers – two clones of the repository have different projects, and each the same again', (t) => {
  const project = projectOf('/one/.stampede/runs/test-1', 'runs/test-1')
  t.regex(project, /^stampede-runs-test-1-[0-9a-f]{8}$/)
  t.is(projectOf('/one/.stampede/runs/test-1', 'runs/test-1'), project)
  t.not(projectOf('/other/.stampede/runs/test-1', 'runs/test-1'), project)
})
