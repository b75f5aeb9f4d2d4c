/**
 * `npm run drill`: real sales over real processes, in each of which one thing is killed with SIGKILL and started again.
 */
import { join } from 'node:path'
import { connectDatabase } from '@stampede/shared/database/connect.ts'
import { drillOne, drillTargets, type DrillResult, type DrillTarget } from './drill/drill-one.ts'
import { LastSecond } from './drill/last-second.ts'
import { parseArguments } from './lib/arguments.ts'
import { runCommand } from './lib/run-command.ts'
import { createLocalIdentity, createTokenMint } from './sale/identity.ts'
import { splitPlatform } from './sale/platform.ts'
import { Staff } from './sale/staff.ts'
import { ensureServices, type ServiceName } from './services/ensure.ts'

const wholeWithinMs = 30_000

const options = parseArguments({
  command: 'npm run drill --',
  summary: 'Kills each part of the platform during a real sale and counts what is oversold, lost and double.',
  flags: {
    json: { type: 'boolean', help: 'print the results as one JSON object on the last line' },
    seed: { type: 'integer', default: 1, minimum: 0, maximum: 4_294_967_295, help: 'decides the moments of the kills' },
    only: { type: 'list', choices: drillTargets, placeholder: 'NAME', help: 'only these' },
    yes: { type: 'boolean', help: 'install what is missing without asking' },
  },
  notes: [
    'Redis runs with appendonly and appendfsync everysec; its drill also cuts the last second off its log, as a loss of power does (unless it runs in a container). Each drill is a sale of 5,000 units and 6,000 buyers.',
    'oversold: live units beyond the stock. lost: a purchase that got a 202 and is in no store, neither ordered nor given back.',
    'double: buyers with more than one live unit. whole again: from the kill until a purchase pressed after it is stored',
    'and nothing that was accepted before is missing. Exit code 1 when one of them is not 0, or whole again takes over 30 s.',
  ],
})

const services: readonly ServiceName[] = ['redis', 'mariadb', 'kafka']
const isService = (target: DrillTarget): target is ServiceName & DrillTarget =>
  (services as readonly string[]).includes(target)

function passed(result: DrillResult): boolean {
  return (
    result.oversold === 0 &&
    result.lost === 0 &&
    result.double === 0 &&
    result.disagreement === null &&
    result.wholeAgainMs !== null &&
    result.wholeAgainMs <= wholeWithinMs
  )
}

function line(result: DrillResult): string {
  const whole =
    result.wholeAgainMs === null
      ? 'never whole again'
      : `whole again after ${(result.wholeAgainMs / 1_000).toFixed(1)} s`
  const stores =
    result.disagreement === null ? 'Redis and MySQL agree' : `Redis and MySQL do NOT agree: ${result.disagreement}`
  return `${passed(result) ? 'held ' : 'BROKE'}  ${result.target.padEnd(9)} oversold ${result.oversold}, lost ${result.lost}, double ${result.double}; ${whole}; ${result.accepted} accepted, ${result.ordersStored} stored, ${result.repeated} presses repeated; ${stores}`
}

await runCommand(async ({ say, defer }) => {
  const running = await ensureServices({ purpose: 'drill', say, assumeYes: options.yes, need: services })
  defer(() => running.stop())
  const identity = await createLocalIdentity()
  const platform = await splitPlatform({
    services: running.environment,
    identity: identity.environment,
    logFolder: join('.stampede', 'log', 'drill'),
  })
  defer(() => platform.stop())
  await platform.start()
  const database = connectDatabase(running.environment.DATABASE_URL)
  defer(() => database.close())
  const mint = await createTokenMint(identity.signingKey)
  const staff = new Staff(platform, await mint('staff-1', ['administrator']))

  const processOf = (target: DrillTarget) => {
    const managed = platform.processes.get(target)
    if (!managed) throw new Error(`there is no process ${target}`)
    return managed
  }
  const lastSecond = new LastSecond()
  /** Else its log is no file of this machine. */
  const redisIsHere = running.pids().redis !== undefined
  const kill = async (target: DrillTarget) => {
    if (!isService(target)) return processOf(target).kill()
    await running.kill(target, 'SIGKILL')
    if (target !== 'redis') return
    say(
      redisIsHere
        ? `redis: ${lastSecond.forget()} bytes of its last second cut off its log`
        : 'redis: runs in a container, so the last second of its log is not cut off',
    )
  }
  const results: DrillResult[] = []
  for (const target of options.only.length > 0
    ? drillTargets.filter((name) => options.only.includes(name))
    : drillTargets) {
    const result = await drillOne(
      {
        platform,
        staff,
        database,
        signingKey: identity.signingKey,
        say,
        watch: async (name) => {
          if (name === 'redis' && redisIsHere) await lastSecond.watch(running.environment.REDIS_URL)
        },
        kill,
        restart: (name) => (isService(name) ? running.restart(name) : processOf(name).start()),
      },
      target,
      options.seed,
    )
    results.push(result)
    say(line(result))
  }
  if (options.json) process.stdout.write(`${JSON.stringify({ seed: options.seed, drills: results })}\n`)
  return results.every(passed) ? 0 : 1
})
