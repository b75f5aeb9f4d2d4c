/** Where a document is. */
import { join } from 'node:path'
import { z } from 'zod'

/** The environment variable of everyone who reads documents: a folder locally, the mount of a ConfigMap on Kubernetes. */
export const configurationFolder = { CONFIGURATION_FOLDER: z.string().min(1).optional() }

/** `<folder>/<name>.yaml`; undefined without a folder. JSON is YAML: one name for both. */
export function documentFile(folder: string | undefined, name: string): string | undefined {
  return folder === undefined ? undefined : join(folder, `${name}.yaml`)
}
