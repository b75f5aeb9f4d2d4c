/**
 * `npm run bench`: the speed of the sale's path against plain Node on the same machine, and of what comes behind it.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { measureColdStart } from './bench/cold-start.ts'
import type { BenchContext, BenchFigures } from './bench/context.ts'
import { measureGateway } from './bench/gateway.ts'
import { findGenerator } from './bench/generator.ts'
import { hotPathRows, measureHotPath, type HotPathRow } from './bench/hot-path.ts'
import { describeCommit, describeMachine, foreignLoadLimit, loadBefore } from './bench/machine.ts'
import { measureMemory } from './bench/memory.ts'
import { measureOrderWriter } from './bench/order-writer.ts'
import { measurePastPurchases } from './bench/past-purchases.ts'
import { measurePipeline } from './bench/pipeline.ts'
import { measureRelay } from './bench/relay.ts'
import { parseArguments } from './lib/arguments.ts'
import { runCommand } from './lib/run-command.ts'
import { repositoryFolder } from './sale/child.ts'
import { createLocalIdentity } from './sale/identity.ts'
import { ensureServices } from './services/ensure.ts'

const otherRows = {
  relay: measureRelay,
  orderWriter: measureOrderWriter,
  pipeline: measurePipeline,
  past: measurePastPurchases,
  coldStart: measureColdStart,
  gateway: measureGateway,
  memory: measureMemory,
} satisfies Record<string, (context: BenchContext) => Promise<Partial<BenchFigures>>>
type OtherRow = keyof typeof otherRows
const names = [...hotPathRows, ...(Object.keys(otherRows) as OtherRow[])]
/** Ten minutes of load are measured when they are asked for. */
const usual = names.filter((name) => name !== 'memory')

const options = parseArguments({
  command: 'npm run bench --',
  summary: 'Measures the speed and writes all figures to bench-results/.',
  flags: {
    json: { type: 'boolean', help: 'print the figures as one JSON object on the last line' },
    only: { type: 'list', choices: names, placeholder: 'NAME', help: 'only these rows' },
    seconds: { type: 'integer', default: 8, minimum: 1, maximum: 600, help: 'length of one run of the load generator' },
    rounds: { type: 'integer', default: 3, minimum: 1, maximum: 99, help: 'runs of each row; medians are reported' },
    connections: { type: 'integer', default: 64, minimum: 1, maximum: 10_000, help: 'connections of the generator' },
    purchases: {
      type: 'integer',
      default: 100_000,
      minimum: 1_000,
      help: 'purchases of the rows relay, orderWriter and pipeline',
    },
    past: {
      type: 'integer',
      default: 1_000_000,
      minimum: 10_000,
      help: 'past purchases of the row past; the full measure is 10000000',
    },
    memorySeconds: {
      type: 'integer',
      default: 600,
      minimum: 30,
      help: 'length of the row memory, which runs only when it is named',
    },
    yes: { type: 'boolean', help: 'install what is missing without asking' },
  },
  notes: [
    `Rows: ${names.join(', ')}.`,
    'A ratio compares with plain Node http in the same round. On two cores the generator, Redis and Node share the machine.',
  ],
})

await runCommand(async ({ say, defer }) => {
  const load = loadBefore()
  if (load > foreignLoadLimit) say(`The load is ${load}: others are busy on this machine, the figures will be low.`)
  const rows = options.only.length > 0 ? names.filter((name) => options.only.includes(name)) : usual
  const services = await ensureServices({
    purpose: 'bench',
    say,
    assumeYes: options.yes,
    need: ['redis', 'mariadb', 'kafka'],
  })
  defer(() => services.stop())
  const folder = await mkdtemp(join(tmpdir(), 'stampede-bench-'))
  defer(() => rm(folder, { recursive: true, force: true }))
  const generator = await findGenerator()
  say(`Load generator: ${generator.name}.`)
  const identity = await createLocalIdentity()
  const raw: Record<string, unknown>[] = []
  const context: BenchContext = {
    ...options,
    services: services.environment,
    identity: identity.environment,
    signingKey: identity.signingKey,
    generator,
    folder,
    say,
    record: (row, figures) => raw.push({ row, at: new Date().toISOString(), ...figures }),
  }

  const figures: BenchFigures = { ratios: {}, perSecond: {}, cpuMicros: {} }
  const take = ({ ratios, perSecond, cpuMicros, ...rest }: Partial<BenchFigures>) => {
    Object.assign(figures.ratios, ratios)
    Object.assign(figures.perSecond, perSecond)
    Object.assign(figures.cpuMicros, cpuMicros)
    Object.assign(figures, rest)
  }
  const hot = rows.filter((row): row is HotPathRow => (hotPathRows as readonly string[]).includes(row))
  if (hot.length > 0) take(await measureHotPath(context, hot))
  for (const row of rows) if (row in otherRows) take(await otherRows[row as OtherRow](context))

  const commit = await describeCommit()
  const report = {
    ...figures,
    machine: describeMachine(),
    commit,
    load,
    ...(load > foreignLoadLimit ? { note: `foreign load ${load} on this machine while measuring` } : {}),
    generator: generator.name,
    options: {
      seconds: options.seconds,
      rounds: options.rounds,
      connections: options.connections,
      purchases: options.purchases,
    },
  }
  const results = join(repositoryFolder, 'bench-results')
  await mkdir(results, { recursive: true })
  const file = join(results, `${new Date().toISOString().slice(0, 10)}-${commit.replace('+', '-')}.json`)
  await writeFile(file, `${JSON.stringify({ ...report, raw }, undefined, 2)}\n`)
  say(`All figures: bench-results/${file.slice(results.length + 1)}`)
  for (const [name, ratio] of Object.entries(figures.ratios)) say(`ratio ${name.padEnd(14)} ${ratio}`)
  if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`)
  return 0
})
