/**
 * Configuration comes from environment variables, is checked once at start, and all problems are reported together in words
 * for people. Values are never printed: they may be secrets.
 */
import type { z } from 'zod'

export type Environment = Readonly<Record<string, string | undefined>>

/** Its message lists every problem with a next step. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError'
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super(
      `The configuration is not complete:\n${problems.map((problem) => `  - ${problem}`).join('\n')}\nSet these environment variables and start again.`,
    )
    this.problems = problems
  }
}

export type ConfigurationPart = { name: string; schema: z.ZodType }

/** A variable that is set to nothing counts as not set. */
function withoutEmpty(environment: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== ''),
  )
}

/**
 * Parses the environment once for each part; the results are in the order of the parts. `check` adds problems that concern
 * several variables. Throws ConfigurationError with all problems of all parts.
 */
export function parseEnvironment(
  environment: Environment,
  parts: readonly ConfigurationPart[],
  check: (results: readonly unknown[]) => readonly string[] = () => [],
): unknown[] {
  const given = withoutEmpty(environment)
  const problems = new Set<string>()
  const results: unknown[] = []
  for (const { name, schema } of parts) {
    const parsed = schema.safeParse(given)
    results.push(parsed.success ? parsed.data : undefined)
    for (const issue of parsed.error?.issues ?? []) {
      const variable = issue.path.map(String).join('.') || name
      const absent = issue.path.length === 1 && given[variable] === undefined
      problems.add(
        absent ? `${variable} is not set (needed by ${name})` : `${variable}: ${issue.message} (needed by ${name})`,
      )
    }
  }
  if (problems.size === 0) for (const problem of check(results)) problems.add(problem)
  if (problems.size > 0) throw new ConfigurationError([...problems])
  return results
}
