/** Turns schema violations of body, query and parameters into `invalid-request` with JSON pointers. */
import type { z } from 'zod'
import { escapePointer, isSafeText } from './json.ts'
import { Problem } from './problem.ts'
import type { InputError } from './problem.ts'

/** More findings than this help nobody and make an answer large. */
const maximumErrors = 20

export function inputErrors(error: z.ZodError): InputError[] {
  return error.issues.slice(0, maximumErrors).map((issue) => ({
    pointer: issue.path.map((part) => `/${escapePointer(String(part))}`).join(''),
    detail: issue.message,
  }))
}

/** The value as the schema gives it back. Throws Problem `invalid-request`; `where` is "body", "query" or "path". */
export async function validate<S extends z.ZodType>(schema: S, value: unknown, where: string): Promise<z.output<S>> {
  const parsed = await schema.safeParseAsync(value)
  if (parsed.success) return parsed.data
  throw new Problem('invalid-request', `The ${where} is not valid.`, { errors: inputErrors(parsed.error) })
}

/** Query parameters as an object; a name that occurs several times gives a list. Throws Problem `invalid-request`. */
export function parseQuery(text: string): Record<string, string | string[]> {
  // No prototype: a parameter may be called `__proto__` or `constructor`.
  const query = Object.create(null) as Record<string, string | string[]>
  if (text === '') return query
  for (const [name, value] of new URLSearchParams(text)) {
    if (!isSafeText(name) || !isSafeText(value))
      throw new Problem('invalid-request', 'The query holds text that is not accepted.')
    const known = query[name]
    if (known === undefined) query[name] = value
    else if (Array.isArray(known)) known.push(value)
    else query[name] = [known, value]
  }
  return query
}
