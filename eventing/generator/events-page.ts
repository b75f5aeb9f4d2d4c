import type { z } from 'zod'
import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import type { EventDefinition } from '../catalogue/definition.ts'
import { jsonSchemas } from './json-schemas.ts'
import { shortName } from './names.ts'
import { sourceGroups, triggerGroups } from './subscriptions.ts'

type Schema = {
  type?: string
  properties?: Record<string, Schema>
  items?: Schema
  required?: string[]
  enum?: string[]
  format?: string
}

/** The page of events for people. */
export function eventsPage(
  catalogue: readonly EventDefinition<z.ZodType>[],
  functions: readonly AnyFunction[],
): string {
  const groups = [...triggerGroups(functions), ...sourceGroups(functions)]
  const readersOf = (type: string) => groups.filter(({ types }) => types.includes(type))
  const schemas = new Map(jsonSchemas(catalogue).map(({ name, schema }) => [name, schema as Schema]))
  const lines = [
    '# Events',
    '',
    '<!-- Made by "npm run generate" from eventing/catalogue/events.ts and the functions\' declarations. Do not change it by hand. -->',
    '',
    'Every event is a CloudEvents 1.0 event. `id` is stable for each fact: consumers recognise a repeat by (`source`, `id`).',
    'Additive changes keep a version; a breaking one publishes the next version beside it.',
    '',
    '| event | from | to |',
    '|---|---|---|',
    ...catalogue.map(({ type, source, anySource }) => {
      const readers = readersOf(type).map(({ functionName, ordered }) =>
        ordered ? `${functionName} (ordered)` : functionName,
      )
      return `| [${type}](#${type.replaceAll('.', '')}) | ${anySource ? 'any' : source.replace('/functions/', '')} | ${readers.join(', ') || '–'} |`
    }),
    ...catalogue.flatMap(({ type, summary, subject, partitionKey }) => [
      '',
      `## ${type}`,
      '',
      summary,
      '',
      `Subject: ${subject}. Partition key: ${partitionKey ? 'derived from the data' : 'set by the producer'}. ` +
        `Schema: [${shortName(type)}.json](generated/schemas/${shortName(type)}.json).`,
      '',
      '```',
      ...fields(schemas.get(shortName(type))!, ''),
      '```',
    ]),
  ]
  return `${lines.join('\n')}\n`
}

function fields(schema: Schema, indent: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const label = `${indent}${name}${schema.required?.includes(name) ? '' : '?'}`
    if (field.type === 'array' && field.items?.properties)
      return [`${label}: list of`, ...fields(field.items, `${indent}  `)]
    if (field.properties) return [`${label}:`, ...fields(field, `${indent}  `)]
    return [`${label}: ${field.enum?.join(' | ') ?? field.format ?? field.type ?? 'any'}`]
  })
}
