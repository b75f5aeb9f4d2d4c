/** `npm run services -- up|down|status`: keeps Redis, MariaDB and Kafka up between commands, for development. */
import { join } from 'node:path'
import { parseArguments } from './lib/arguments.ts'
import { sayToTerminal as say } from './lib/terminal.ts'
import { ensureServices, SetupError, stampedeFolder } from './services/ensure.ts'
import { checks } from './services/checks.ts'
import { endServices, readRecord, Records, stateOf, type RunRecord } from './services/records.ts'
import { serviceNames, variableOf, type ServiceEnvironment, type ServiceName } from './services/types.ts'
import { isAlive } from './setup/processes.mjs'

const options = parseArguments({
  command: 'npm run services',
  summary: 'Keeps Redis, MariaDB and Kafka up between commands.',
  positionals: 'up|down|status',
  flags: {
    yes: { type: 'boolean', help: 'install what is missing without asking' },
  },
  notes: [
    '  up       starts them and prints the variables that make other commands use them',
    '  down     ends them; their data stays in .stampede/services, or in volumes of the engine',
    '  status   says which of them run',
  ],
})

const folder = join(stampedeFolder, 'services')

function printVariables(environment: ServiceEnvironment): void {
  for (const [name, value] of Object.entries(environment)) console.log(`export ${name}='${value}'`)
}

/** Whether it is up, for people; undefined when not. */
async function stateOfService(record: RunRecord | undefined, name: ServiceName): Promise<string | undefined> {
  const port = record?.ports[name]?.[0]
  const one = record?.processes.find((process) => process.name === name)
  if (one) return isAlive(one) ? `process ${one.pid}, port ${port}` : undefined
  const address = record?.environment?.[variableOf[name]]
  if (!record?.containers || !address) return undefined
  const answers = await checks[name](address).catch(() => undefined)
  return answers && `in ${record.containers.engine}, port ${port}`
}

async function up(): Promise<void> {
  const record = readRecord(folder)
  const states = await Promise.all(serviceNames.map((name) => stateOfService(record, name)))
  if (record?.environment && states.every((state) => state !== undefined)) {
    say('They are up already.')
    printVariables(record.environment)
    return
  }
  if (record) {
    // An engine that does not answer runs none of them either.
    await endServices(record).catch((error: Error) => say(error.message))
    new Records(folder, true).ended()
  }
  const services = await ensureServices({
    purpose: 'services',
    say,
    need: serviceNames,
    assumeYes: options.yes,
    outlives: true,
    // Addresses in the environment are what this command is to make.
    given: {},
  })
  say('\nThey stay up until: npm run services -- down\nFor other commands in this shell:\n')
  printVariables(services.environment)
}

async function down(): Promise<void> {
  const record = readRecord(folder)
  const ended = record ? await endServices(record) : ''
  if (record) new Records(folder, true).ended()
  say(ended === '' ? 'None was up.' : `Ended ${ended}.`)
}

async function status(): Promise<void> {
  const record = readRecord(folder)
  for (const name of serviceNames) {
    const state = await stateOfService(record, name)
    say(`${name}: ${state === undefined ? 'down' : `up, ${state}`}`)
  }
  if (record?.environment && stateOf(record) === 'busy') printVariables(record.environment)
}

const actions: Record<string, () => Promise<void>> = { up, down, status }
const action = actions[options.positionals.length === 1 ? (options.positionals[0] as string) : '']
if (!action) {
  say('Say what to do: npm run services -- up, down or status')
  process.exit(2)
}
try {
  await action()
  process.exit(0)
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  say(error.message)
  process.exit(1)
}
