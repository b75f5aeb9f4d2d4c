/** What a function's `func.yaml` says about how it runs, as far as manifests are made from it. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'

const quantities = z.looseObject({ cpu: z.coerce.string().optional(), memory: z.coerce.string().optional() })

/** Loose: `func` has a schema of its own, against which the files are tested. */
const funcYaml = z.looseObject({
  name: z.string(),
  run: z.looseObject({
    volumes: z.array(z.strictObject({ configMap: z.string(), path: z.string() })).default([]),
    envs: z.array(z.looseObject({ name: z.string().optional(), value: z.string() })).default([]),
  }),
  deploy: z.looseObject({
    healthEndpoints: z.looseObject({ liveness: z.string().optional(), readiness: z.string().optional() }).default({}),
    options: z
      .looseObject({
        scale: z
          .looseObject({
            min: z.int().optional(),
            max: z.int().optional(),
            metric: z.enum(['concurrency', 'rps']).optional(),
            target: z.number().optional(),
            utilization: z.number().optional(),
          })
          .default({}),
        resources: z
          .looseObject({
            requests: quantities.optional(),
            limits: quantities.extend({ concurrency: z.int().optional() }).optional(),
          })
          .default({}),
      })
      .default({ scale: {}, resources: {} }),
  }),
})
export type FuncYaml = z.output<typeof funcYaml>

/** All functions that are deployed one by one, by name. @throws Error that names the file. */
export async function readFunctions(root: string): Promise<FuncYaml[]> {
  const entries = await readdir(join(root, 'functions'), { withFileTypes: true })
  const found: FuncYaml[] = []
  for (const { name } of entries
    .filter((entry) => entry.isDirectory())
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join('functions', name, 'func.yaml')
    const text = await readFile(join(root, path), 'utf8').catch(() => undefined)
    if (text === undefined) continue
    const parsed = funcYaml.safeParse(parse(text))
    if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`)
    if (parsed.data.name !== name) throw new Error(`${path}: the function is called ${parsed.data.name}`)
    found.push(parsed.data)
  }
  return found
}

const reference = /^\{\{ *(secret|configMap):([a-z0-9.-]+):([\w.-]+) *\}\}$/

/** Documents as a pod has them. Optional: without the ConfigMap a function starts with what is built in, and follows when it comes. */
export function volumesOf({ run }: FuncYaml): { volumes: object[]; mounts: object[] } {
  return {
    volumes: run.volumes.map(({ configMap }) => ({ name: configMap, configMap: { name: configMap, optional: true } })),
    mounts: run.volumes.map(({ configMap, path }) => ({ name: configMap, mountPath: path, readOnly: true })),
  }
}

/** Environment as a container has it. `{{ secret:NAME:KEY }}` and `{{ configMap:NAME:KEY }}` become references. */
export function environmentOf({ name: functionName, run }: FuncYaml): object[] {
  return run.envs.map(({ name, value }) => {
    if (name === undefined) throw new Error(`${functionName}: an entry of run.envs has no name`)
    const [, kind, object, key] = reference.exec(value) ?? []
    if (kind === 'secret') return { name, valueFrom: { secretKeyRef: { name: object, key } } }
    if (kind === 'configMap') return { name, valueFrom: { configMapKeyRef: { name: object, key } } }
    if (value.includes('{{'))
      throw new Error(`${functionName}: ${name} has a value that manifests cannot hold: ${value}`)
    return { name, value }
  })
}
