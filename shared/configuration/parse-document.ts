/** From the text of a document to a value, or to all that is wrong with it. Values are never repeated: they may be secrets. */
import { parseDocument as parseYaml } from 'yaml'
import { z } from 'zod'
import { escapePointer, findUnsafe } from '../http/json.ts'
import type { DocumentProblem } from './types.ts'

export type ParsedDocument<T> =
  { version: string; value: T } | { version: string | undefined; problems: DocumentProblem[] }

/** A ConfigMap as a whole holds no more than 1 MiB. */
export const maximumDocumentBytes = 1_048_576
/** More findings than this help nobody. */
const maximumProblems = 100
/** Of YAML: a few lines of aliases of aliases would fill the memory. */
const maximumAliases = 100

const versionSchema = z.union([z.int().nonnegative(), z.string().regex(/^[\w.+:-]{1,64}$/)], {
  error: (issue) =>
    issue.input === undefined
      ? 'every document has a version: a whole number, or a text of 1 to 64 letters, digits and . _ + : -'
      : 'a whole number or, in quotes, a text of 1 to 64 letters, digits and . _ + : -',
})

export function parseDocument<T>(text: string, schema: z.ZodType<T>): ParsedDocument<T> {
  const refused = (problems: DocumentProblem[], version?: string): ParsedDocument<T> => ({
    version,
    problems: problems.slice(0, maximumProblems),
  })
  let content: unknown
  try {
    const document = parseYaml(text, { uniqueKeys: true, prettyErrors: true })
    // A warning is a tag or a directive nobody knows: the value would not be what it looks like.
    const findings = [...document.errors, ...document.warnings]
    if (findings.length > 0) {
      return refused(
        findings.map(({ message, linePos }) => ({
          pointer: '',
          detail: `${linePos ? `line ${linePos[0].line}: ` : ''}${firstLine(message)}`,
        })),
      )
    }
    content = document.toJS({ maxAliasCount: maximumAliases })
  } catch (error) {
    return refused([{ pointer: '', detail: error instanceof Error ? firstLine(error.message) : 'cannot be read' }])
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    return refused([{ pointer: '', detail: content === null ? 'the document is empty' : 'the document is no mapping' }])
  }
  const unsafe = findUnsafe(content, '', 1)
  if (unsafe) return refused([unsafe])
  const { version: givenVersion, ...rest } = content as Record<string, unknown>
  const parsedVersion = versionSchema.safeParse(givenVersion)
  const version = parsedVersion.success ? String(parsedVersion.data) : undefined
  const problems: DocumentProblem[] = problemsOf(parsedVersion.error, '/version')
  try {
    const parsed = strictAtTheTop(schema).safeParse(rest)
    problems.push(...problemsOf(parsed.error))
    if (parsed.success && version !== undefined) return { version, value: deepFreeze(parsed.data) }
  } catch (error) {
    // A check of the schema itself that breaks must not break the process that reads.
    problems.push({ pointer: '', detail: error instanceof Error ? firstLine(error.message) : 'cannot be checked' })
  }
  return refused(problems, version)
}

function strictAtTheTop<T>(schema: z.ZodType<T>): z.ZodType<T> {
  if (!(schema instanceof z.ZodObject) || schema.def.catchall !== undefined) return schema
  return schema.strict() as unknown as z.ZodType<T>
}

function problemsOf(error: z.ZodError | undefined, prefix = ''): DocumentProblem[] {
  return (error?.issues ?? []).flatMap((issue) => {
    const pointer = prefix + pointerOf(issue.path)
    // One finding for each name, at its own place.
    if (issue.code !== 'unrecognized_keys') return [{ pointer, detail: issue.message }]
    return issue.keys.map((key) => ({ pointer: pointer + pointerOf([key]), detail: 'nobody knows this name' }))
  })
}

const pointerOf = (path: readonly PropertyKey[]): string =>
  path.map((part) => `/${escapePointer(String(part))}`).join('')

/** yaml's messages go on with an extract of the text, which may hold a secret. */
const firstLine = (message: string): string => (message.split('\n', 1)[0] ?? '').replace(/:$/, '')

/** Plain objects and lists; instances of classes are left as they are. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  const prototype: unknown = Object.getPrototypeOf(value)
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return value
  for (const member of Object.values(value)) deepFreeze(member)
  return Object.freeze(value)
}
