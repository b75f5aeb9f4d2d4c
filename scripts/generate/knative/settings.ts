/** `knative/base/settings.yaml`: what Knative Services need and func.yaml cannot hold. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'

const seconds = z.string().regex(/^\d+s$/, 'is not a number of seconds such as 60s')
const quantities = z.strictObject({ cpu: z.string(), memory: z.string() })
const resources = z.strictObject({ requests: quantities, limits: quantities })

const settings = z.strictObject({
  window: seconds,
  'panic-window-percentage': z.number().min(1).max(100),
  'panic-threshold-percentage': z.number().min(110).max(1_000),
  'scale-down-delay': seconds,
  'target-burst-capacity': z.int().min(-1),
  'activation-scale': z.int().min(2).optional(),
  'scale-to-zero-pod-retention-period': seconds,
  'initial-scale': z.int().min(1).optional(),
  'timeout-seconds': z.int().min(1).max(600),
  visibility: z.literal('cluster-local').optional(),
  resources,
  'queue-proxy': resources,
})
export type ServiceSettings = z.output<typeof settings>

const file = z.strictObject({
  defaults: settings,
  functions: z.record(z.string(), settings.partial()),
})

export const settingsPath = 'knative/base/settings.yaml'

/** The settings of each of these functions. @throws Error for a function without settings, and for settings without a function. */
export async function readSettings(root: string, names: readonly string[]): Promise<Map<string, ServiceSettings>> {
  return parseSettings(await readFile(join(root, settingsPath), 'utf8'), names)
}

export function parseSettings(text: string, names: readonly string[]): Map<string, ServiceSettings> {
  const parsed = file.safeParse(parse(text))
  if (!parsed.success) throw new Error(`${settingsPath}: ${z.prettifyError(parsed.error)}`)
  const { defaults, functions } = parsed.data
  const unknown = Object.keys(functions).filter((name) => !names.includes(name))
  const missing = names.filter((name) => functions[name] === undefined)
  if (unknown.length > 0) throw new Error(`${settingsPath}: there is no function ${unknown.join(', ')}`)
  if (missing.length > 0)
    throw new Error(`${settingsPath}: nothing is said about ${missing.join(', ')} (an empty {} will do)`)
  return new Map(names.map((name) => [name, { ...defaults, ...functions[name] }]))
}
