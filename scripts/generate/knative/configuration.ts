/** The documents that functions read, as one ConfigMap. Without a hash in its name: a change is to reach pods that run. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { deployedDocuments } from '../../configuration/deployed.ts'
import { namespace } from './names.ts'

export const configurationMap = 'stampede-configuration'

export async function configurationManifest(root: string): Promise<object> {
  const documents = await deployedDocuments(root)
  const data: Record<string, string> = {}
  for (const { name, path } of documents) data[`${name}.yaml`] = await readFile(join(root, path), 'utf8')
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: configurationMap,
      namespace,
      labels: {
        'app.kubernetes.io/part-of': 'stampede',
        'app.kubernetes.io/managed-by': 'generate',
        'app.kubernetes.io/component': 'configuration',
      },
    },
    data,
  }
}
