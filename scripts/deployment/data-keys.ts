/**
 * The keys without which what is stored of persons cannot be read, and the audit trail not be proven. They are as old as the database:
 * made once, before there is one, and never made again because they are not there any more.
 */
import { parseKeys } from '@stampede/shared/personal-data/keys.ts'
import { createPassKeys, dataKeysSecret, identitySecret, readSecret, type SecretData } from '../cluster/identity.ts'
import { DeployError, commandLine, namespace, type DeployContext } from './context.ts'
import { definedOnly, ensureSecret } from './secrets.ts'

/** Key of the Secret → environment variable that wins over what is stored. */
const variables = { 'data-keys': 'DATA_KEYS', 'index-key': 'INDEX_KEY', 'audit-key': 'AUDIT_KEY' } as const
type KeyName = keyof typeof variables
const names = Object.keys(variables) as KeyName[]

export type DataKeysPlan = {
  /** In `stampede-data-keys`, or in `stampede-identity` of an installation from before they had a Secret of their own. */
  stored: SecretData
  given: SecretData
  missing: readonly KeyName[]
}

/**
 * Decides before anything is changed. With `newKeys` a person has said that nothing that needs the missing ones was ever stored.
 * @throws DeployError when new keys would stand beside data, or beside other keys, of which nobody knows what they were for
 */
export async function planDataKeys(context: DeployContext, newKeys: boolean): Promise<DataKeysPlan> {
  const { kubectl, environment } = context
  const given = definedOnly(Object.fromEntries(names.map((name) => [name, environment[variables[name]]])))
  const problems = names.flatMap((name) => problemsOf(variables[name], given[name]))
  if (problems.length > 0) throw new DeployError(`${problems.join('; ')}.`)
  const [own, earlier, database] = await Promise.all([
    readSecret(kubectl, namespace, dataKeysSecret),
    readSecret(kubectl, namespace, identitySecret),
    readSecret(kubectl, namespace, 'stampede-database'),
  ])
  const stored = { ...onlyKeys(earlier), ...onlyKeys(own) }
  const missing = names.filter((name) => !(name in stored) && !(name in given))
  const isFirst = missing.length === names.length && database === undefined
  if (missing.length === 0 || isFirst || newKeys) return { stored, given, missing }
  const there = names.filter((name) => !missing.includes(name))
  const why =
    database === undefined
      ? `${there.join(', ')} ${there.length === 1 ? 'is' : 'are'} there, and those that belong to the same data are not`
      : 'the Secret stampede-database leads to a database that may hold data under them'
  throw new DeployError(
    [
      `Keys of personal data are missing (Secret ${dataKeysSecret}): ${missing.join(', ')}. New ones are not made, because ${why}: with other keys nobody could read it.`,
      `Put them back from the backup: ${missing.map((name) => `${variables[name]}=…`).join(' ')} ${commandLine(context, 'init')}`,
      `Only when nothing of persons was ever stored: ${commandLine(context, 'init')} --new-data-keys`,
    ].join('\n'),
  )
}

export async function storeDataKeys(context: DeployContext, { stored, given, missing }: DataKeysPlan): Promise<void> {
  const made = Object.fromEntries(missing.map((name) => [name, createPassKeys()]))
  await ensureSecret(context, {
    name: dataKeysSecret,
    stage: 'init',
    given: { ...stored, ...given },
    missing: () => made,
  })
  for (const name of names) {
    const gone = idsOf(stored[name]).filter((id) => !idsOf(given[name] ?? stored[name]).includes(id))
    if (gone.length > 0)
      context.say(
        `${name}: without ${gone.join(', ')}. What needs that key cannot be read any more, unless nothing does.`,
      )
  }
  if (missing.length > 0 && !context.dryRun)
    context.say(
      `Keep a copy of the Secret ${dataKeysSecret} apart from the database and its backups: whoever loses it loses every name and address.${context.environment['DATABASE_URL'] === undefined ? '' : ' If DATABASE_URL leads to a database that has persons already, put their keys back now, before the step services: DATA_KEYS, INDEX_KEY, AUDIT_KEY.'}`,
    )
}

/**
 * Copies in `stampede-identity` serve revisions from before; one that is no copy any more would be taken for the key when the
 * other Secret is lost.
 */
export function staleCopies(identity: SecretData, { stored, given }: DataKeysPlan): string[] {
  return names.filter((name) => name in identity && identity[name] !== (given[name] ?? stored[name]))
}

const onlyKeys = (data: SecretData = {}): SecretData =>
  Object.fromEntries(names.flatMap((name) => (data[name] === undefined ? [] : [[name, data[name]]])))

function problemsOf(variable: string, keys: string | undefined): string[] {
  if (keys === undefined) return []
  try {
    parseKeys(keys)
    return []
  } catch (error) {
    return [`${variable} ${(error as TypeError).message}`]
  }
}

const idsOf = (keys = ''): string[] => keys.split(',').map((entry) => entry.slice(0, entry.indexOf(':')).trim())
