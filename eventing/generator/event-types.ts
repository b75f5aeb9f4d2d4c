import type { z } from 'zod'
import type { EventDefinition } from '../catalogue/definition.ts'
import { brokerName, metadata, namespace, shortName } from './names.ts'

/** Where tools find the JSON schema of a type; relative to the repository. */
export const schemaPath = (type: string): string => `eventing/generated/schemas/${shortName(type)}.json`

export function eventTypes(catalogue: readonly EventDefinition<z.ZodType>[]): object[] {
  return catalogue.map(({ type, source, anySource, summary }) => ({
    apiVersion: 'eventing.knative.dev/v1beta3',
    kind: 'EventType',
    metadata: metadata(shortName(type), { 'stampede.io/schema': schemaPath(type) }),
    spec: {
      description: summary,
      reference: { apiVersion: 'eventing.knative.dev/v1', kind: 'Broker', name: brokerName, namespace },
      attributes: [
        { name: 'type', required: true, value: type },
        { name: 'source', required: true, ...(anySource ? {} : { value: source }) },
        { name: 'specversion', required: true, value: '1.0' },
        { name: 'id', required: true },
        { name: 'subject', required: true },
        { name: 'time', required: true },
        { name: 'datacontenttype', required: true, value: 'application/json' },
        { name: 'partitionkey', required: false },
      ],
    },
  }))
}
