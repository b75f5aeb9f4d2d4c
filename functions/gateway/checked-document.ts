/** The document's schema with what only the declarations and the environment can tell: one that names what is not there is refused. */
import { checkPatterns, planUpstreams } from './rules.ts'
import type { Declared } from './declared.ts'
import { gatewayDocument } from './document.ts'

export function checkedDocument(declared: Declared, addresses: ReadonlyMap<string, string>) {
  return gatewayDocument.superRefine((document, context) => {
    for (const check of [
      () => planUpstreams(document, declared.functions, addresses),
      () => checkPatterns(document, declared),
    ]) {
      try {
        check()
      } catch (error) {
        context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) })
      }
    }
  })
}
