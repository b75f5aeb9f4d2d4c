/** A manifest as an object, and manifests from text. */
import { parseAllDocuments } from 'yaml'

export type Manifest = {
  apiVersion: string
  kind: string
  metadata: {
    name: string
    namespace?: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
  }
  spec?: Record<string, unknown>
  data?: Record<string, string>
  [key: string]: unknown
}

/** Empty documents are left out. @throws YAMLParseError for the first mistake. */
export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    if (document.errors.length > 0) throw document.errors[0]!
    const value = document.toJS() as Manifest | null
    return value === null ? [] : [value]
  })
}
