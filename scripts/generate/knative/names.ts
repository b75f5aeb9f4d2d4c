/** Labels that every generated manifest of a function carries; rules, budgets and network policies select by them. */
import { namespace } from '@stampede/eventing/generator/names.ts'

export { namespace }

export const functionLabels = (name: string) => ({
  'app.kubernetes.io/name': name,
  'app.kubernetes.io/component': 'function',
  'app.kubernetes.io/part-of': 'stampede',
})

export const functionMetadata = (name: string, extraLabels: Record<string, string> = {}) => ({
  name,
  namespace,
  labels: { ...functionLabels(name), 'app.kubernetes.io/managed-by': 'generate', ...extraLabels },
})
