/**
 * `npm start`: everything set up, a flash sale in front of your eyes, and then a platform to play with.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectDatabase } from '@stampede/shared/database/connect.ts'
import { parseArguments } from './lib/arguments.ts'
import { runCommand } from './lib/run-command.ts'
import { measureGateway } from './sale/gateway-cost.ts'
import { createTokenMint, keptLocalIdentity } from './sale/identity.ts'
import { LiveDisplay } from './sale/live-display.ts'
import { wholePlatform, type Platform } from './sale/platform.ts'
import { brokenGuarantees, reportLines } from './sale/report.ts'
import { runSale } from './sale/run-sale.ts'
import { Staff } from './sale/staff.ts'
import { ensureServices, stampedeFolder } from './services/ensure.ts'

const options = parseArguments({
  command: 'npm start --',
  summary: 'Sets everything up and runs a flash sale on this machine.',
  flags: {
    once: { type: 'boolean', help: 'end after the report; exit 1 when a guarantee broke' },
    json: { type: 'boolean', help: 'print the report as one JSON object on the last line' },
    buyers: { type: 'integer', default: 20_000, minimum: 1, maximum: 1_000_000, help: 'people who press "buy"' },
    stock: { type: 'integer', default: 1_000, minimum: 1, maximum: 100_000_000, help: 'units to sell' },
    buckets: { type: 'integer', default: 1, minimum: 1, maximum: 64, help: 'parts the stock is split into' },
    connections: { type: 'integer', default: 256, minimum: 1, maximum: 10_000, help: 'connections of the crowd' },
    seed: {
      type: 'integer',
      default: 1,
      minimum: 0,
      maximum: 4_294_967_295,
      help: 'the same seed gives the same crowd',
    },
    port: { type: 'integer', default: 8_080, minimum: 1, maximum: 65_535, help: 'port of the front' },
    yes: { type: 'boolean', help: 'install what is missing without asking' },
  },
})

/** Buyers who register and sign in like people; the others' tokens are made in advance. */
const signedInSample = 40
const comparison = { presses: 1_500, turns: 2, connections: 64 }

function tryLines(platform: Platform, activityId: string, openActivityId: string, buyerToken: string): string[] {
  const url = platform.url('seckill')
  return [
    '',
    `  The sale as a page:   ${platform.url('activity')}/activities/${activityId}/live`,
    `  API reference:        ${url}/openapi.json`,
    `  Messages to people:   ${url}/notifications/outbox`,
    `  Metrics:              ${platform.directUrl('seckill')}/metrics, and the gateway's: ${url}/metrics`,
    '',
    '  Worth trying (another sale has 100 units left; press twice):',
    `    TOKEN=${buyerToken}`,
    `    curl -i -X POST ${url}/api/v1/seckill/${openActivityId}/purchases -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' -d '{"quantity":1}'`,
    `    curl -s ${url}/api/v1/seckill/${openActivityId}/result -H "authorization: Bearer $TOKEN"`,
    `    curl -s ${url}/api/v1/seckill/${openActivityId}/live`,
    '',
    '  Ctrl-C stops all that was started.',
  ]
}

await runCommand(async ({ say, defer }) => {
  const services = await ensureServices({
    purpose: 'start',
    say,
    assumeYes: options.yes,
    need: ['redis', 'mariadb', 'kafka'],
  })
  defer(() => services.stop())
  const identity = await keptLocalIdentity(join(stampedeFolder, 'start-identity.json'))
  const platform = await wholePlatform(
    { services: services.environment, identity: identity.environment, logFolder: join('.stampede', 'log') },
    options.port,
  )
  defer(() => platform.stop())
  say('Starting the functions, the eventing engine and the gateway …')
  await platform.start()
  say(`Ready: ${platform.url('seckill')}`)

  const database = connectDatabase(services.environment.DATABASE_URL)
  defer(() => database.close())
  const mint = await createTokenMint(identity.signingKey)
  const staff = new Staff(platform, await mint('staff-1', ['administrator']))
  const sale = await runSale(
    {
      platform,
      staff,
      database,
      signingKey: identity.signingKey,
      display: new LiveDisplay(process.stderr),
      say,
      onActivity: (activityId) => say(`Watch it: ${platform.url('activity')}/activities/${activityId}/live`),
    },
    { name: 'A thousand phones at noon', signingIn: signedInSample, ...options },
  )
  say('What the gateway costs: the same presses through it and past it …')
  const comparedPresses = comparison.presses * comparison.turns * 2
  const comparedStartMs = Date.now() + 1_500
  const compared = await staff.prepareActivity({
    name: 'Through the gateway and past it',
    stock: comparedPresses,
    startsAtMs: comparedStartMs,
    endsAtMs: comparedStartMs + 600_000,
  })
  await sleep(Math.max(0, comparedStartMs - Date.now()) + 250)
  sale.report.gateway = await measureGateway({
    gatewayUrl: platform.url('seckill'),
    directUrl: platform.directUrl('seckill'),
    activityId: compared,
    passKeys: identity.environment['PASS_KEYS'] ?? '',
    ...comparison,
  })
  process.stderr.write(`\n${reportLines(sale.report).join('\n')}\n`)
  if (!options.once) {
    const startsAtMs = Date.now() + 1_500
    const open = await staff.prepareActivity({
      name: 'Some are left',
      stock: 100,
      startsAtMs,
      endsAtMs: startsAtMs + 86_400_000,
    })
    process.stderr.write(`${tryLines(platform, sale.activityId, open, await mint('curious-1')).join('\n')}\n`)
    // Ctrl-C stops everything and ends the process.
    await new Promise<never>(() => undefined)
  }
  if (options.json) process.stdout.write(`${JSON.stringify(sale.report)}\n`)
  return brokenGuarantees(sale.report).length === 0 ? 0 : 1
})
