import { EventEmitter, once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { z } from 'zod'
import { openConfiguration } from './open-configuration.ts'
import { configMapMount, observed, temporaryFolder, writeByRename } from './testing.ts'
import { DocumentError, type ConfigurationOptions } from './types.ts'

const schema = z.strictObject({ rate: z.int().min(1) })
type Settings = z.output<typeof schema>
const text = (version: number | string, rate: unknown) => `version: ${version}\nrate: ${String(rate)}\n`

/** Polling is off unless a test asks for it: what is announced is what is tested. */
function stage(t: ExecutionContext, options: Partial<ConfigurationOptions<Settings>> = {}) {
  const { folder, remove } = temporaryFolder()
  const file = join(folder, 'sale.yaml')
  const seen = observed()
  const open = (more: Partial<ConfigurationOptions<Settings>> = {}) => {
    const configuration = openConfiguration<Settings>({
      name: 'sale',
      schema,
      file,
      pollMs: 3_600_000,
      settleMs: 20,
      ...seen,
      ...options,
      ...more,
    })
    t.teardown(() => configuration.close())
    return configuration
  }
  t.teardown(remove)
  return { folder, file, open, ...seen }
}

/** Resolves with the value of the next change. */
async function nextChange(configuration: { onChange: (listener: (next: Settings) => void) => () => void }) {
  const events = new EventEmitter()
  const change = once(events, 'change') as Promise<[Settings]>
  const end = configuration.onChange((next) => void events.emit('change', next))
  const [value] = await change
  end()
  return value
}

test('a configuration – is the document at the start, with its version in the metrics', async (t) => {
  const { file, open, sample } = stage(t)
  writeFileSync(file, text(3, 10))
  const configuration = open()
  t.deepEqual(configuration.current(), { rate: 10 })
  t.is(configuration.version(), '3')
  t.deepEqual(await sample('configuration_version_info', 'version'), ['3 1'])
  t.deepEqual(await sample('configuration_rejected', 'name'), ['sale 0'])
  t.true(Math.abs(Number((await sample('configuration_loaded_at'))[0]) - Date.now() / 1_000) < 60)
})

test('a configuration – without a file is the built-in one, and the file applies when it comes', async (t) => {
  const { file, open, sample } = stage(t, { initial: { rate: 1 } })
  const configuration = open()
  t.is(configuration.version(), 'built-in')
  t.deepEqual(await sample('configuration_rejected'), ['0'])
  writeByRename(file, text(1, 2))
  await configuration.reload()
  t.deepEqual(configuration.current(), { rate: 2 })
})

test('a start without a valid document – fails with all problems when nothing is built in', (t) => {
  const { file, open } = stage(t)
  t.throws(() => open(), { instanceOf: DocumentError, message: /the file is not there/ })
  writeFileSync(file, 'rate: 0\nother: 1\n')
  const error = t.throws(() => open(), { instanceOf: DocumentError })
  t.deepEqual(error?.problems.map(({ pointer }) => pointer).toSorted(), ['/other', '/rate', '/version'])
})

test('a start without a valid document – takes the built-in one and raises the alert', async (t) => {
  const { file, open, sample, lines } = stage(t, { initial: { rate: 1 } })
  writeFileSync(file, text(1, 0))
  const configuration = open()
  t.is(configuration.version(), 'built-in')
  t.deepEqual(await sample('configuration_rejected'), ['1'])
  t.true(lines.some(({ level, problems }) => level === 'error' && problems?.[0]?.startsWith('/rate')))
})

test('a change – by rename reaches the listeners with the new value and the old one', async (t) => {
  const { file, open, sample } = stage(t)
  writeFileSync(file, text(1, 10))
  const configuration = open()
  await configuration.reload()
  const heard: unknown[] = []
  configuration.onChange((next, previous) => heard.push(next, previous, configuration.current()))
  const change = nextChange(configuration)
  writeByRename(file, text(2, 20))
  await change
  t.deepEqual(heard, [{ rate: 20 }, { rate: 10 }, { rate: 20 }])
  t.is(configuration.version(), '2')
  await configuration.reload()
  t.deepEqual(await sample('configuration_version_info', 'version'), ['2 1'])
})

test('a change – in place is seen too', async (t) => {
  const { file, open } = stage(t)
  writeFileSync(file, text(1, 10))
  const configuration = open()
  await configuration.reload()
  const change = nextChange(configuration)
  writeFileSync(file, text(2, 20))
  t.deepEqual(await change, { rate: 20 })
})

test('a change – that nobody announces is found by polling', async (t) => {
  const { file, open } = stage(t, { watch: false, pollMs: 10 })
  writeFileSync(file, text(1, 10))
  const configuration = open()
  const change = nextChange(configuration)
  writeByRename(file, text(2, 20))
  t.deepEqual(await change, { rate: 20 })
})

test('a change – in a folder that was replaced since is found', async (t) => {
  const { folder, file, open } = stage(t, { pollMs: 20 })
  writeFileSync(file, text(1, 10))
  const configuration = open()
  await configuration.reload()
  rmSync(folder, { recursive: true })
  mkdirSync(folder)
  const change = nextChange(configuration)
  writeFileSync(file, text(2, 20))
  t.deepEqual(await change, { rate: 20 })
})

test('a document that is not valid – leaves the old one, raises the alert, and is told once', async (t) => {
  const { file, open, sample, lines } = stage(t)
  writeFileSync(file, text(1, 10))
  const configuration = open()
  for (const broken of [text(2, 0), 'version: 2\nrate: [', '', '\u0000', 'x'.repeat(1_100_000)]) {
    writeByRename(file, broken)
    const before = lines.length
    await configuration.reload()
    t.deepEqual(configuration.current(), { rate: 10 })
    t.is(configuration.version(), '1')
    t.deepEqual(await sample('configuration_rejected'), ['1'])
    t.is(lines.length, before + 1)
  }
})

test('a document that is not valid – is forgotten when the old one is back, without a change', async (t) => {
  const { file, open, sample } = stage(t)
  writeFileSync(file, text(1, 10))
  const configuration = open()
  configuration.onChange(() => t.fail())
  writeByRename(file, text(2, 0))
  await configuration.reload()
  writeByRename(file, text(1, 10))
  await configuration.reload()
  t.deepEqual(await sample('configuration_rejected'), ['0'])
})

test('a document – of bytes that are no UTF-8 is refused', async (t) => {
  const { file, open, lines } = stage(t)
  writeFileSync(file, text(1, 10))
  const configuration = open()
  writeFileSync(file, Buffer.from([0x76, 0xff, 0xfe]))
  await configuration.reload()
  t.is(configuration.version(), '1')
  t.deepEqual(lines.at(-1)?.problems, ['it is not UTF-8'])
})

test('a deleted file – leaves what applies, and says so', async (t) => {
  const { file, open, sample, lines } = stage(t, { initial: { rate: 1 } })
  writeFileSync(file, text(1, 10))
  const configuration = open()
  rmSync(file)
  await configuration.reload()
  t.deepEqual(configuration.current(), { rate: 10 })
  t.deepEqual(await sample('configuration_rejected'), ['1'])
  t.deepEqual(lines.at(-1)?.problems, ['the file is not there'])
  writeFileSync(file, text(2, 20))
  await configuration.reload()
  t.deepEqual(configuration.current(), { rate: 20 })
  t.deepEqual(await sample('configuration_rejected'), ['0'])
})

test('a half-written document – is not believed until the file holds still', async (t) => {
  // Cut off, the text is still a valid document: 10 instead of 1000.
  const { file, open } = stage(t, { settleMs: 200 })
  writeFileSync(file, text(1, 5))
  const configuration = open()
  await configuration.reload()
  const seen: number[] = []
  configuration.onChange(({ rate }) => void seen.push(rate))
  const whole = text(2, 1_000)
  writeFileSync(file, whole.slice(0, -4))
  const reloaded = configuration.reload()
  // Between the first and the second reading, and, unless this machine is very slow, between the second and the third.
  setTimeout(() => writeFileSync(file, whole.slice(0, -3)), 50)
  setTimeout(() => writeFileSync(file, whole), 300)
  await reloaded
  await configuration.reload()
  t.deepEqual(seen, [1_000])
})

test('a document replaced twice at once – ends with the last one', async (t) => {
  const { file, open } = stage(t)
  writeFileSync(file, text(1, 10))
  const configuration = open()
  for (let version = 2; version <= 30; version++) writeByRename(file, text(version, version))
  await configuration.reload()
  t.is(configuration.version(), '30')
  // Of the same length and, as far as the file system can tell, the same moment.
  writeByRename(file, text(31, 31))
  writeByRename(file, text(32, 32))
  await configuration.reload()
  t.is(configuration.version(), '32')
})

test('a ConfigMap mount – is followed when its link is swapped, and tells a key that is gone', async (t) => {
  const { folder, open, sample } = stage(t)
  const mount = configMapMount(folder, { 'sale.yaml': text(1, 10) })
  const configuration = open()
  await configuration.reload()
  const change = nextChange(configuration)
  mount.swap({ 'sale.yaml': text(2, 20) })
  t.deepEqual(await change, { rate: 20 })
  const again = nextChange(configuration)
  mount.swap({ 'sale.yaml': text(3, 30), 'other.yaml': '' })
  t.deepEqual(await again, { rate: 30 })
  mount.swap({ 'other.yaml': '' })
  await configuration.reload()
  t.deepEqual(configuration.current(), { rate: 30 })
  t.deepEqual(await sample('configuration_rejected'), ['1'])
})

test('a listener that fails – brings the old value back everywhere, in reverse order', async (t) => {
  const { file, open, sample, lines } = stage(t)
  writeFileSync(file, text(1, 10))
  const configuration = open()
  const calls: string[] = []
  configuration.onChange(({ rate }) => void calls.push(`first ${rate}`))
  const end = configuration.onChange(({ rate }) => {
    calls.push(`second ${rate}`)
    if (rate === 20) throw new Error('the pool does not take 20')
  })
  configuration.onChange(({ rate }) => void calls.push(`third ${rate}`))
  writeByRename(file, text(2, 20))
  await configuration.reload()
  t.deepEqual(calls, ['first 20', 'second 20', 'second 10', 'first 10'])
  t.deepEqual([configuration.current().rate, configuration.version()], [10, '1'])
  t.deepEqual(await sample('configuration_rejected'), ['1'])
  t.deepEqual(lines.at(-1)?.problems, ['failed: the pool does not take 20'])
  // The same document, now that the cause is gone.
  end()
  await configuration.reload({ again: true })
  t.deepEqual([configuration.current().rate, configuration.version()], [20, '2'])
  t.deepEqual(await sample('configuration_rejected'), ['0'])
})

test('a listener that cannot go back – does not keep the others from going back', async (t) => {
  const { file, open, lines } = stage(t)
  writeFileSync(file, text(1, 10))
  const configuration = open()
  let first = 10
  configuration.onChange(({ rate }) => {
    first = rate
  })
  configuration.onChange(() => {
    throw new Error('never')
  })
  writeByRename(file, text(2, 20))
  await configuration.reload()
  t.is(first, 10)
  t.true(lines.some(({ message }) => message.includes('did not take the old')))
})

test('a listener that refuses while preparing – keeps the change from everyone', async (t) => {
  const { file, open, lines } = stage(t)
  writeFileSync(file, text(1, 10))
  const configuration = open()
  const applied: number[] = []
  configuration.onChange(({ rate }) => void applied.push(rate))
  configuration.onChange({
    prepare: async ({ rate }) => {
      if (rate > 100) throw new Error('there is no such upstream')
      await Promise.resolve()
    },
    apply: () => {},
  })
  writeByRename(file, text(2, 101))
  await configuration.reload()
  t.deepEqual([applied, configuration.version()], [[], '1'])
  t.deepEqual(lines.at(-1)?.problems, ['refused: there is no such upstream'])
  writeByRename(file, text(3, 50))
  await configuration.reload()
  t.deepEqual([applied, configuration.version()], [[50], '3'])
})

test('a listener that never finishes preparing – is given up', async (t) => {
  const { file, open } = stage(t, { prepareTimeoutMs: 30 })
  writeFileSync(file, text(1, 10))
  const configuration = open()
  const end = configuration.onChange({ prepare: () => new Promise(() => {}), apply: () => t.fail() })
  writeByRename(file, text(2, 20))
  await configuration.reload()
  t.is(configuration.version(), '1')
  end()
  writeByRename(file, text(3, 30))
  await configuration.reload()
  t.is(configuration.version(), '3')
})

test('several configurations – share a registry', async (t) => {
  const { file, open, sample, folder } = stage(t)
  writeFileSync(file, text(1, 10))
  writeFileSync(join(folder, 'other.yaml'), text(7, 10))
  open()
  const other = open({ name: 'other', file: join(folder, 'other.yaml') })
  t.deepEqual((await sample('configuration_rejected', 'name')).toSorted(), ['other 0', 'sale 0'])
  other.close()
  t.deepEqual(await sample('configuration_rejected', 'name'), ['sale 0'])
})

test('without a file name – the built-in value applies for good', (t) => {
  const { open } = stage(t, { initial: { rate: 1 } })
  const configuration = open({ file: undefined })
  t.deepEqual(configuration.current(), { rate: 1 })
})
