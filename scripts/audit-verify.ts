/** `npm run audit:verify`: are the audit records still those that were recorded? */
import { readConfiguration } from './audit/read-options.ts'
import { readCheckpoints } from './audit/read-checkpoints.ts'
import { verifyTenants } from './audit/verify-tenants.ts'
import { parseArguments } from './lib/arguments.ts'
import { runCommand } from './lib/run-command.ts'

const options = parseArguments({
  command: 'npm run audit:verify --',
  summary: 'Verifies the hash chains of the audit records, and says which record is broken first.',
  flags: {
    database: { type: 'string', placeholder: 'URL', help: 'of the database of audit; default: DATABASE_URL' },
    tenant: { type: 'list', placeholder: 'ID', help: 'only these tenants; default: all' },
    checkpoints: {
      type: 'string',
      placeholder: 'FILE',
      help: 'checkpoints that were kept elsewhere: one JSON object a line, as the log and the event have them',
    },
    json: { type: 'boolean', help: 'print each result as one JSON object a line' },
  },
  notes: [
    'AUDIT_KEY in the environment is the key of the chains, as the function audit has it.',
    'Exit code 0: all are right; 1: one is broken; 2: it could not be verified.',
    'What was cut off since a checkpoint, together with the checkpoint, is found only with a copy of it: give --checkpoints.',
  ],
})

await runCommand(async ({ say, defer }) => {
  const given = readConfiguration(options, process.env)
  if ('problems' in given) {
    for (const problem of given.problems) say(problem)
    return 2
  }
  const outside =
    options.checkpoints === undefined ? new Map<string, never[]>() : await readCheckpoints(options.checkpoints)
  let [tenants, records, brokenTenants] = [0, 0, 0]
  let saidMs = performance.now()
  const results = verifyTenants({ ...given, tenants: options.tenant, outside, defer })
  for await (const verification of results) {
    tenants += 1
    records += verification.checked
    const { tenantId, finding, checked, checkpoints } = verification
    if (finding) brokenTenants += 1
    if (options.json) process.stdout.write(`${JSON.stringify(verification)}\n`)
    else if (finding)
      say(
        `BROKEN ${tenantId}: ${finding.kind} at record ${finding.sequence}${finding.recordId ? ` (${finding.recordId})` : ''}: ${finding.detail}; the ${checked} before it are right`,
      )
    else if (options.tenant.length > 0)
      say(`${tenantId}: ${checked} records are right, ${checkpoints} checkpoints agree`)
    if (performance.now() - saidMs > 2_000) {
      saidMs = performance.now()
      say(`${records.toLocaleString('en')} records of ${tenants.toLocaleString('en')} tenants so far`)
    }
  }
  say(
    `${records.toLocaleString('en')} records of ${tenants.toLocaleString('en')} tenants: ${brokenTenants === 0 ? 'all right' : `${brokenTenants} broken`}`,
  )
  return brokenTenants === 0 ? 0 : 1
})
