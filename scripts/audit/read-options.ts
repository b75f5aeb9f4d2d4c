/** What the command needs beside its options, with the next step where it is missing. */
import { createMacs, type Macs } from '../../functions/audit/macs.ts'

type Environment = Readonly<Record<string, string | undefined>>

export function readConfiguration(
  options: { database?: string | undefined },
  environment: Environment,
): { databaseUrl: string; macs: Macs } | { problems: string[] } {
  const problems: string[] = []
  const databaseUrl = options.database ?? environment['DATABASE_URL'] ?? ''
  if (databaseUrl === '') problems.push('Where are the records? Give --database mysql://… or set DATABASE_URL.')
  const key = environment['AUDIT_KEY'] ?? ''
  if (key === '') {
    problems.push(
      'AUDIT_KEY is not set: without the key it cannot be told whether a chain was written again. It is in the Secret of audit.',
    )
    return { problems }
  }
  try {
    const macs = createMacs(key)
    return problems.length > 0 ? { problems } : { databaseUrl, macs }
  } catch (error) {
    return { problems: [...problems, `AUDIT_KEY: ${(error as TypeError).message}`] }
  }
}
