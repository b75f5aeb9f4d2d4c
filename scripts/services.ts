/** `npm run services -- up|down|status`: keeps Redis, MariaDB and Kafka up between commands, for development. */
import { join } from 'node:path'
import { parseArguments } from './lib/arguments.ts'
import { sayToTerminal as say } from './lib/terminal.ts'
import { ensureServices, SetupError, stampedeFolder } from './services/ensure.ts'
import { endProcesses, readRecord, Records, stateOf } from './services/records.ts'
import { serviceNames, type ServiceEnvironment } from './services/types.ts'
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
    '  down     ends them; their data stays in .stampede/services',
    '  status   says which of them run',
  ],
})

const folder = join(stampedeFolder, 'services')

function printVariables(environment: ServiceEnvironment): void {
  for (const [name, value] of Object.entries(environment)) console.log(`export ${name}='${value}'`)
}

async function up(): Promise<void> {
  const record = readRecord(folder)
  if (record?.environment && record.processes.length > 0 && record.processes.every(isAlive)) {
    say('They are up already.')
    printVariables(record.environment)
    return
  }
  if (record) await endProcesses(record)
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
  const ended = record ? await endProcesses(record) : 0
  if (record) new Records(folder, true).ended()
  say(ended === 0 ? 'None was up.' : `Ended ${ended} ${ended === 1 ? 'process' : 'processes'}.`)
}

function status(): void {
  const record = readRecord(folder)
  for (const name of serviceNames) {
    const one = record?.processes.find((process) => process.name === name)
    say(one && isAlive(one) ? `${name}: up, process ${one.pid}, port ${record?.ports[name]?.[0]}` : `${name}: down`)
  }
  if (record?.environment && stateOf(record) === 'busy') printVariables(record.environment)
}

const actions: Record<string, () => Promise<void> | void> = { up, down, status }
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
