/** `npm run fuzz`: Schemathesis against the served OpenAPI of all functions, on real services. */
import { parseArguments } from './lib/arguments.ts'
import { runCommand } from './lib/run-command.ts'
import { fuzzCollection } from './fuzz/fuzz-collection.ts'
import { ensureSchemathesis } from './fuzz/schemathesis.ts'
import { ensureServices } from './services/ensure.ts'

const callers = ['public', 'user', 'staff', 'platform', 'service'] as const

const options = parseArguments({
  command: 'npm run fuzz --',
  summary:
    'Sends requests made from the OpenAPI document, valid and not, to all functions; no answer may be ≥ 500 or undocumented.',
  flags: {
    cases: { type: 'integer', default: 20_000, minimum: 1, maximum: 10_000_000, help: 'at least so many requests' },
    seed: {
      type: 'integer',
      default: 1,
      minimum: 0,
      maximum: 4_294_967_295,
      help: 'the same seed makes the same cases',
    },
    caller: { type: 'list', choices: callers, placeholder: 'NAME', help: 'only as these' },
    json: { type: 'boolean', help: 'print the result as one JSON object on the last line' },
    yes: { type: 'boolean', help: 'install what is missing without asking' },
  },
  notes: ['Exit code 1 when an answer was a server error, or not as documented.'],
})

await runCommand(async ({ say, defer }) => {
  const python = await ensureSchemathesis({ say, assumeYes: options.yes })
  const services = await ensureServices({
    purpose: 'fuzz',
    say,
    assumeYes: options.yes,
    need: ['redis', 'mariadb', 'kafka'],
  })
  defer(() => services.stop())
  Object.assign(process.env, services.environment)
  const chosen = callers.filter((name) => options.caller.length === 0 || options.caller.includes(name))
  const { cases, failures, slices } = await fuzzCollection({
    python,
    cases: options.cases,
    seed: options.seed,
    say,
    callers: chosen,
  })
  for (const { failures: own, errors, output } of slices) {
    if (own.length + errors.length > 0) process.stderr.write(`${output}\n`)
  }
  for (const failure of failures) say(`✘ ${failure}`)
  say(`${cases} cases, ${failures.length} failures, seed ${options.seed}`)
  if (options.json) process.stdout.write(`${JSON.stringify({ cases, seed: options.seed, failures })}\n`)
  return failures.length === 0 && cases >= options.cases ? 0 : 1
})
