import { stringify } from 'yaml'

const header =
  '# Made by "npm run generate" from the event catalogue and the functions\' declarations. Do not change it by hand.\n'
const settings = { lineWidth: 0, aliasDuplicateObjects: false } as const

/** Several documents in one file. */
export function yamlFile(documents: readonly object[]): string {
  return header + documents.map((document) => stringify(document, settings)).join('---\n')
}

export const yamlDocument = (document: object): string => header + stringify(document, settings)
