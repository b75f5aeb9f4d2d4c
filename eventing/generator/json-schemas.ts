import { z } from 'zod'
import type { EventDefinition } from '../catalogue/definition.ts'
import { shortName } from './names.ts'

export type JsonSchemaFile = { name: string; schema: Record<string, unknown> }

/**
 * JSON schemas (2020-12) of the data. More members than the schema names are allowed: additive changes keep the version, and an
 * older consumer must not refuse them.
 */
export function jsonSchemas(catalogue: readonly EventDefinition<z.ZodType>[]): JsonSchemaFile[] {
  return catalogue.map(({ type, summary, data }) => {
    const { $schema, ...schema } = z.toJSONSchema(data, { io: 'input' })
    return {
      name: shortName(type),
      schema: { $schema, $id: `urn:stampede:event:${type}`, title: type, description: summary, ...schema },
    }
  })
}
