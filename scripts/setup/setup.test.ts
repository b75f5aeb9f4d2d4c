import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { commands, listOfCommands } from './commands.mjs'
import { stateOfDependencies } from './dependencies.mjs'
import { takeLock, tryLock } from './lock.mjs'
import { findNode } from './node.mjs'
import { isAlive, ownIdentity, startTimeInStat, startTimeOf } from './processes.mjs'
import { isAtLeast, parseVersion } from './versions.mjs'

const root = join(import.meta.dirname, '..', '..')
const temporaryFolder = async (t: ExecutionContext) => {
  const folder = await mkdtemp(join(tmpdir(), 'stampede-setup-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

test('version – is found in what programs print', (t) => {
  t.deepEqual(parseVersion('Redis server v=7.0.15 sha=00000000:0'), [7, 0, 15])
  t.deepEqual(parseVersion('v24.12.0'), [24, 12, 0])
  t.deepEqual(parseVersion('10.6'), [10, 6])
  t.is(parseVersion('none'), undefined)
})

test('version – compares number by number', (t) => {
  t.true(isAtLeast([24, 12, 0], [24, 12]))
  t.true(isAtLeast([25, 0, 0], [24, 12]))
  t.true(isAtLeast([17, 0], [17]))
  t.false(isAtLeast([24, 9, 0], [24, 12]))
  t.false(isAtLeast([6, 9, 9], [7, 0]))
  t.false(isAtLeast(undefined, [1]))
})

const wanted = {
  packages: {
    '': { version: '1.0.0' },
    shared: { version: '1.0.0' },
    'node_modules/a': { version: '1.0.0' },
    'node_modules/a/node_modules/b': { version: '2.0.0' },
    'node_modules/@stampede/shared': { link: true },
    'node_modules/other-machine': { version: '1.0.0', optional: true },
  },
}
const installed = {
  packages: {
    'node_modules/a': { version: '1.0.0' },
    'node_modules/a/node_modules/b': { version: '2.0.0' },
    'node_modules/@stampede/shared': { link: true },
  },
}

test('dependencies – complete when every package is there with its version', (t) => {
  t.is(stateOfDependencies(wanted, installed), 'complete')
})

test('dependencies – missing when npm has not finished', (t) => {
  t.is(stateOfDependencies(wanted, undefined), 'missing')
})

for (const [condition, change] of [
  ['a package is not there', { 'node_modules/a/node_modules/b': undefined }],
  ['a version differs', { 'node_modules/a': { version: '1.0.1' } }],
  ['a link is a copy', { 'node_modules/@stampede/shared': { version: '1.0.0' } }],
] as const) {
  test(`dependencies – stale when ${condition}`, (t) => {
    const packages = Object.fromEntries(
      Object.entries({ ...installed.packages, ...change }).filter(([, entry]) => entry !== undefined),
    )
    t.is(stateOfDependencies(wanted, { packages } as typeof installed), 'stale')
  })
}

test('dependencies – package-lock.json knows the optional packages of other machines, without which npm ci refuses', async (t) => {
  const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { optionalDependencies?: Record<string, string> }>
  }
  for (const [path, { optionalDependencies = {} }] of Object.entries(packages)) {
    for (const name of Object.keys(optionalDependencies)) {
      t.truthy(packages[`node_modules/${name}`] ?? packages[`${path}/node_modules/${name}`], `${name} of ${path}`)
    }
  }
})

test('process – the start time is read behind a name with spaces and parentheses', (t) => {
  const fields = Array.from({ length: 50 }, (_, index) => String(index + 4))
  t.is(startTimeInStat(`7 (a) b (c) S ${fields.join(' ')}`), '22')
  t.is(startTimeInStat(`7 (a) Z ${fields.join(' ')}`), undefined)
})

test('process – another process with the same id is not the same', async (t) => {
  const child = spawn('sleep', ['60'])
  const pid = child.pid as number
  const startTime = startTimeOf(pid) as string
  t.true(isAlive({ pid, startTime }))
  t.false(isAlive({ pid, startTime: `${startTime}1` }))
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.false(isAlive({ pid, startTime }))
})

test('lock – is held by one and free again afterwards', async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'deep', 'lock')
  const release = tryLock(path)
  t.truthy(release)
  t.is(tryLock(path), undefined)
  release?.()
  const again = tryLock(path)
  t.truthy(again)
  again?.()
  t.deepEqual(await readdir(join(folder, 'deep')), [])
})

test('lock – of a process that died does not count, nor does a damaged one', async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'lock')
  await writeFile(path, JSON.stringify({ ...ownIdentity(), startTime: '1' }))
  const release = tryLock(path)
  t.truthy(release)
  release?.()
  await writeFile(path, '{"pid":')
  t.truthy(tryLock(path))
})

test('lock – one of many wins', async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'lock')
  const code = `import { tryLock } from ${JSON.stringify(join(import.meta.dirname, 'lock.mjs'))}
    process.stdout.write(tryLock(${JSON.stringify(path)}) ? 'won ' : 'lost ')
    process.stdin.resume()`
  const children = Array.from({ length: 5 }, () =>
    spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['pipe', 'pipe', 'inherit'] }),
  )
  const answers = await Promise.all(children.map(async (child) => String((await once(child.stdout, 'data'))[0])))
  t.is(answers.filter((answer) => answer === 'won ').length, 1)
  for (const child of children) child.kill('SIGKILL')
})

test('lock – who waits is told whose it is, and has it when it is given back', async (t) => {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'lock')
  const release = tryLock(path)
  const waiting = takeLock(path, { limitMs: 10_000, onWait: (pid) => (t.is(pid, process.pid), release?.()) })
  t.plan(2)
  const second = await waiting
  t.true(existsSync(path))
  second()
})

test('lock – waiting has an end', async (t) => {
  const path = join(await temporaryFolder(t), 'lock')
  tryLock(path)
  await t.throwsAsync(takeLock(path, { limitMs: 1 }), { message: new RegExp(`process ${process.pid} has held`) })
})

test('node – the one that runs this is used when it is new enough', (t) => {
  t.is(findNode(root), process.execPath)
})

/** Where a colon reads better than a hyphen. */
const scriptNames: Record<string, string> = {
  'test-cluster': 'test:cluster',
  'test-matrix': 'test:matrix',
  'audit-verify': 'audit:verify',
}

test('commands – every command has its script and is a script of package.json', async (t) => {
  const { default: manifest } = (await import('../../package.json', { with: { type: 'json' } })) as {
    default: { scripts: Record<string, string> }
  }
  for (const name of Object.keys(commands)) {
    t.true(existsSync(join(root, 'scripts', `${name}.ts`)), name)
    t.is(manifest.scripts[scriptNames[name] ?? name], `node scripts/run.mjs ${name}`)
    t.true(listOfCommands().includes(commands[name]?.example ?? '-'))
  }
})

test('commands – an unknown one is refused with the list', async (t) => {
  const child = spawn(process.execPath, [join(root, 'scripts', 'run.mjs'), 'strat'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let output = ''
  child.stderr.on('data', (chunk) => (output += chunk))
  const [code] = await once(child, 'close')
  t.is(code, 2)
  t.regex(output, /There is no command "strat"[\s\S]*npm start/)
})

test('commands – the exit code and a signal pass through', async (t) => {
  const child = spawn(process.execPath, [join(root, 'scripts', 'run.mjs'), 'services', 'sideways'], { stdio: 'ignore' })
  t.deepEqual(await once(child, 'close'), [2, null])
})
