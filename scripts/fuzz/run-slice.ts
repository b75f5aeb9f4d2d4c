/** One run of Schemathesis against one slice. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../services/local/run.ts'
import type { Slice } from './slices.ts'

/** What must hold for every answer: none is ≥ 500, none has a status, type or shape that is not documented. */
const checks =
  'not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method'

export type SliceResult = {
  caller: string
  cases: number
  /** Distinct failures, each as `title: operations`. */
  failures: string[]
  /** Why the run itself went wrong. */
  errors: string[]
  /** The end of what it printed, for people: it has the requests that reproduce a failure. */
  output: string
}

type Report = {
  complete: boolean
  test_cases: { generated: number; errored: number }
  failures: { title: string; count: number; operations: string[] }[]
  errors: unknown[]
}

export type RunSliceOptions = {
  python: string
  url: string
  folder: string
  seed: number
  casesPerOperation: number
  headers: Readonly<Record<string, string>>
  /** The run is ended after this. */
  limitMs: number
}

export async function runSlice(slice: Slice, options: RunSliceOptions): Promise<SliceResult> {
  const { caller } = slice
  const document = join(options.folder, `${caller}.json`)
  const report = join(options.folder, `${caller}-${options.seed}-report.json`)
  await writeFile(document, JSON.stringify(slice.document))
  const { code, output } = await run(
    options.python,
    [
      '-m',
      'schemathesis.cli',
      'run',
      document,
      `--url=${options.url}`,
      `--checks=${checks}`,
      '--phases=coverage,fuzzing',
      '--continue-on-failure',
      `--max-examples=${options.casesPerOperation}`,
      `--seed=${options.seed}`,
      '--workers=1',
      '--suppress-health-check=all',
      '--warnings=off',
      '--request-timeout=30',
      '--report=json',
      `--report-json-path=${report}`,
      ...Object.entries(options.headers).map(([name, value]) => `--header=${name}: ${value}`),
    ],
    // No colours, no database of examples beside the project.
    { cwd: options.folder, environment: { NO_COLOR: '1' }, limitMs: options.limitMs, keepCharacters: 60_000 },
  )
  const text = await readFile(report, 'utf8').catch(() => undefined)
  if (text === undefined) {
    const errors = [`it ended with ${code} and without a report`]
    return { caller, cases: 0, failures: [], errors, output }
  }
  const found = JSON.parse(text) as Report
  return {
    caller,
    cases: found.test_cases.generated,
    failures: found.failures.map(({ title, operations }) => `${title}: ${operations.join(', ')}`),
    errors: [
      ...found.errors.map((error) => JSON.stringify(error)),
      ...(found.complete ? [] : ['it stopped before its end']),
      // 1: failures were found; anything else is a defect of the run.
      ...(code === 0 || (code === 1 && found.failures.length > 0) ? [] : [`it ended with ${code}`]),
    ],
    output,
  }
}
