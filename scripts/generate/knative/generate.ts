/** Manifests of Knative that follow from func.yaml, the settings and the declarations. */
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import type { GeneratedFile } from '../files.ts'
import { disruptionBudget, serviceAccount } from './companions.ts'
import { configurationManifest } from './configuration.ts'
import { engineScaling } from './engine-scaling.ts'
import { eventPolicies } from './event-policies.ts'
import { readFunctions } from './func-yaml.ts'
import { knativeService } from './services.ts'
import { readSettings } from './settings.ts'

/** Call it when the manifests of the events are written: the engine's scaling follows from them. */
export async function generateKnative(root: string, declarations: readonly AnyFunction[]): Promise<GeneratedFile[]> {
  const functions = await readFunctions(root)
  const names = functions.map(({ name }) => name)
  const undeclared = declarations.map(({ name }) => name).filter((name) => !names.includes(name))
  if (undeclared.length > 0) throw new Error(`functions/${undeclared[0]} has no func.yaml`)
  const settings = await readSettings(root, names)
  const byName = declarations.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const base = 'knative/base/generated'
  return [
    file(
      `${base}/services.yaml`,
      functions.map((definition) => knativeService(definition, settings.get(definition.name)!)),
    ),
    file(`${base}/configuration.yaml`, [await configurationManifest(root)]),
    file(`${base}/service-accounts.yaml`, names.map(serviceAccount)),
    file(`${base}/pod-disruption-budgets.yaml`, names.map(disruptionBudget)),
    file('knative/eventing/generated/event-policies.yaml', eventPolicies(byName)),
    file('knative/engine/generated/scaled-object.yaml', [await engineScaling(join(root, 'eventing', 'manifests'))]),
  ]
}

const header =
  '# Made by "npm run generate" from func.yaml files, knative/base/settings.yaml and declarations. Do not change it by hand.\n'

const file = (path: string, documents: readonly object[]): GeneratedFile => ({
  path,
  content:
    header +
    documents.map((document) => stringify(document, { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n'),
})
