/**
 * `npm run simulate`: plays the protocol of a sale in many seeded orders of events, with failures anywhere, and checks the guarantees.
 */
import { parseArguments } from './lib/arguments.ts'
import { runCommand } from './lib/run-command.ts'
import { formatDuration } from './lib/terminal.ts'
import { plantNames, plants, type PlantName } from './simulate/plants.ts'
import { play, playAll, redisFor, type Outcome } from './simulate/run-schedules.ts'

const options = parseArguments({
  command: 'npm run simulate --',
  summary:
    'Plays the protocol of a sale in seeded schedules, with crashes, losses, repeats and delays anywhere, and checks SK1 to SK6.',
  flags: {
    schedules: { type: 'integer', default: 10_000, minimum: 1, maximum: 100_000_000, help: 'schedules to play' },
    seed: { type: 'integer', default: 1, minimum: 0, help: 'everything follows from it' },
    replay: { type: 'integer', minimum: 0, help: 'play the one schedule with this seed, as a failure printed it' },
    trace: { type: 'boolean', help: 'with --replay: print every step' },
    plant: { type: 'string', choices: plantNames, placeholder: 'NAME', help: 'plant a bug, which must be found' },
    threads: { type: 'integer', minimum: 1, maximum: 256, help: 'threads; default: one for each core' },
    json: { type: 'boolean', help: 'print the result as one JSON object on the last line' },
  },
  notes: [
    'Exit code 1 when a guarantee broke; the seed of the schedule is printed and plays it again, step by step.',
    'Bugs that can be planted:',
    ...plantNames.map((name) => `  ${name.padEnd(34)} ${plants[name].summary}`),
  ],
})
const plant = options.plant as PlantName | undefined

await runCommand(async ({ say }) => {
  const began = performance.now()
  let lastSaid = began
  const { totals, failures } =
    options.replay === undefined
      ? await playAll({
          seed: options.seed,
          schedules: options.schedules,
          plant,
          ...(options.threads === undefined ? {} : { threads: options.threads }),
          progress: (done) => {
            if (performance.now() - lastSaid < 2_000) return
            lastSaid = performance.now()
            say(`${done.toLocaleString('en')} of ${options.schedules.toLocaleString('en')} schedules`)
          },
        })
      : await replay(options.replay)
  const elapsedMs = performance.now() - began
  const perSecond = Math.round((totals.schedules / elapsedMs) * 1_000)

  for (const { seed, detail } of failures) {
    say(`BROKE ${detail}`)
    say(`To see it: npm run simulate -- --replay ${seed}${plant ? ` --plant ${plant}` : ''} --trace`)
  }
  if (failures.length === 0) {
    say(
      `${totals.schedules.toLocaleString('en')} schedules held in ${formatDuration(elapsedMs)} (${perSecond}/s): ` +
        `${totals.steps.toLocaleString('en')} steps, ${totals.promised.toLocaleString('en')} purchases, ${totals.crashes.toLocaleString('en')} crashes`,
    )
    say(`${totals.lostTwice} purchases were taken by two failures at once, which nothing promises to survive`)
  }
  if (options.json) {
    const [failure] = failures
    process.stdout.write(
      `${JSON.stringify({ ...totals, seed: options.seed, plant: plant ?? null, failed: failures.length, failure: failure ?? null, perSecond, elapsedMs: Math.round(elapsedMs) })}\n`,
    )
  }
  return failures.length === 0 ? 0 : 1
})

async function replay(seed: number): Promise<Outcome> {
  const redis = await redisFor(plant)
  const trace = options.trace ? (line: string) => void process.stdout.write(`${line}\n`) : undefined
  const { violation, steps, virtualMs, promised, orders, crashes, lostTwice } = await play(seed, redis, plant, trace)
  return {
    totals: { schedules: 1, steps, virtualMs, promised, orders, crashes, lostTwice },
    failures: violation ? [{ index: 0, seed, ...violation }] : [],
  }
}
