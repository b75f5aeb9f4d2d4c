/**
 * Makes everything that follows from the event catalogue and the functions' declarations: manifests of Triggers, sources and
 * schedules, EventTypes, JSON schemas, the tasks that have alarms, the AsyncAPI document and the page of events. `npm run generate` writes it; a test fails
 * when what is in the repository is not what comes out here.
 */
import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import type { z } from 'zod'
import type { EventDefinition } from './catalogue/definition.ts'
import { catalogue as typedCatalogue } from './catalogue/events.ts'
import { alarmTasks } from './generator/alarm-tasks.ts'
import { asyncApiDocument } from './generator/async-api.ts'
import { eventTypes } from './generator/event-types.ts'
import { eventsPage } from './generator/events-page.ts'
import { jsonSchemas } from './generator/json-schemas.ts'
import { kafkaSources } from './generator/kafka-sources.ts'
import { pingSources } from './generator/ping-sources.ts'
import { checkSubscriptions } from './generator/subscriptions.ts'
import { triggers } from './generator/triggers.ts'
import { yamlDocument, yamlFile } from './generator/yaml-file.ts'

// What is generated does not depend on the types of the data.
const catalogue = typedCatalogue as unknown as readonly EventDefinition<z.ZodType>[]

/** A file with its path from the repository's root. */
export type GeneratedFile = { path: string; content: string }

/**
 * All generated files, the same for the same input.
 * @throws TypeError for declarations that no manifest can carry out.
 */
export async function generate(definitions: readonly AnyFunction[]): Promise<GeneratedFile[]> {
  const functions = definitions.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  checkSubscriptions(functions)
  const manifests = 'eventing/manifests/generated'
  return [
    { path: `${manifests}/event-types.yaml`, content: yamlFile(eventTypes(catalogue)) },
    { path: `${manifests}/triggers.yaml`, content: yamlFile(triggers(functions)) },
    { path: `${manifests}/sources.yaml`, content: yamlFile(kafkaSources(functions)) },
    { path: `${manifests}/pings.yaml`, content: yamlFile(pingSources(functions, definitions)) },
    ...jsonSchemas(catalogue).map(({ name, schema }) => ({
      path: `eventing/generated/schemas/${name}.json`,
      content: `${JSON.stringify(schema, undefined, 2)}\n`,
    })),
    {
      path: 'eventing/generated/alarm-tasks.json',
      content: `${JSON.stringify(alarmTasks(definitions), undefined, 2)}\n`,
    },
    { path: 'eventing/generated/asyncapi.yaml', content: yamlDocument(asyncApiDocument(catalogue, functions)) },
    { path: 'eventing/EVENTS.md', content: eventsPage(catalogue, functions) },
  ]
}
