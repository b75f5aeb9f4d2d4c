/**
 * Options of a command, from one table that also makes its `--help`. An option that is not in the table is refused with the
 * nearest one that is.
 *
 *   const options = parseArguments({
 *     command: 'npm start', summary: 'Sets everything up and runs a sale.',
 *     flags: {
 *       buyers: { type: 'integer', default: 20_000, minimum: 1, help: 'buyers in the crowd' },
 *       once: { type: 'boolean', help: 'end after the report' },
 *     },
 *   })
 *   options.buyers, options.once
 */
export type FlagOption = { type: 'boolean'; help: string }
export type IntegerOption = { type: 'integer'; help: string; default?: number; minimum?: number; maximum?: number }
export type TextOption = {
  type: 'string'
  help: string
  default?: string
  choices?: readonly string[]
  placeholder?: string
}
export type ListOption = {
  type: 'list'
  help: string
  choices?: readonly string[]
  placeholder?: string
  /** A value may hold commas: several come by repeating the option. */
  whole?: true
}
export type OptionTable = Record<string, FlagOption | IntegerOption | TextOption | ListOption>

type ValueOf<O> = O extends FlagOption
  ? boolean
  : O extends ListOption
    ? string[]
    : O extends IntegerOption
      ? O extends { default: number }
        ? number
        : number | undefined
      : O extends { default: string }
        ? string
        : string | undefined

export type Parsed<T extends OptionTable> = { [K in keyof T]: ValueOf<T[K]> } & { positionals: string[] }

export type CommandDescription<T extends OptionTable> = {
  /** As a person types it: `npm start`, `npm run bench`; a `--` at its end does not matter. */
  command: string
  summary: string
  /** Keys in camelCase; `--kebab-case` on the command line. */
  flags: T
  /** What may follow without a dash, for people; without it nothing may. */
  positionals?: string
  /** More lines at the end of the help. */
  notes?: readonly string[]
}

/** What was typed cannot be understood; the message is for people. */
export class ArgumentError extends Error {
  override readonly name = 'ArgumentError'
}

const kebab = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** Parses without effects. `'help'` when help is asked for. @throws ArgumentError */
export function readArguments<const T extends OptionTable>(
  description: CommandDescription<T>,
  argv: readonly string[],
): Parsed<T> | 'help' {
  const table = new Map(
    Object.entries(description.flags).map(([name, option]) => [`--${kebab(name)}`, { name, option }]),
  )
  const values: Record<string, unknown> = {}
  const positionals: string[] = []
  for (const [name, option] of Object.entries(description.flags)) {
    values[name] = option.type === 'boolean' ? false : option.type === 'list' ? [] : option.default
  }

  for (let index = 0; index < argv.length; index += 1) {
    const argument = argv[index] as string
    if (argument === '--help' || argument === '-h') return 'help'
    if (!argument.startsWith('-') || argument === '-') {
      if (description.positionals === undefined)
        throw new ArgumentError(`"${argument}" means nothing here.${hint(description)}`)
      positionals.push(argument)
      continue
    }
    const equals = argument.indexOf('=')
    const flag = equals < 0 ? argument : argument.slice(0, equals)
    const entry = table.get(flag)
    if (!entry)
      throw new ArgumentError(`There is no option ${flag}.${nearest(flag, [...table.keys()])}${hint(description)}`)
    const { name, option } = entry
    if (option.type === 'boolean') {
      if (equals >= 0) throw new ArgumentError(`${flag} takes no value.`)
      values[name] = true
      continue
    }
    const value = equals < 0 ? argv[(index += 1)] : argument.slice(equals + 1)
    if (value === undefined || (equals < 0 && table.has(value)))
      throw new ArgumentError(`${flag} needs a value.${hint(description)}`)
    values[name] =
      option.type === 'list'
        ? [...(values[name] as string[]), ...listOf(flag, option, value)]
        : valueOf(flag, option, value)
  }
  return { ...values, positionals } as Parsed<T>
}

/** Parses the command line of this process. Prints the help and exits with 0, or what is wrong and exits with 2. */
export function parseArguments<const T extends OptionTable>(
  description: CommandDescription<T>,
  argv: readonly string[] = process.argv.slice(2),
): Parsed<T> {
  let parsed: Parsed<T> | 'help'
  try {
    parsed = readArguments(description, argv)
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error
    process.stderr.write(`${error.message}\n`)
    return process.exit(2)
  }
  if (parsed !== 'help') return parsed
  process.stdout.write(helpOf(description))
  return process.exit(0)
}

function valueOf(flag: string, option: IntegerOption | TextOption, value: string): number | string {
  if (option.type === 'string') {
    if (option.choices && !option.choices.includes(value))
      throw new ArgumentError(`${flag} is one of ${option.choices.join(', ')}, not "${value}".`)
    return value
  }
  const number = /^-?[\d_]+$/.test(value) ? Number(value.replaceAll('_', '')) : Number.NaN
  const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER } = option
  if (!Number.isSafeInteger(number) || number < minimum || number > maximum) {
    const range = option.maximum === undefined ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`
    throw new ArgumentError(`${flag} is a whole number ${range}, not "${value}".`)
  }
  return number
}

function listOf(flag: string, option: ListOption, value: string): string[] {
  const items = (option.whole ? [value] : value.split(',')).filter((item) => item !== '')
  for (const item of items) {
    if (option.choices && !option.choices.includes(item))
      throw new ArgumentError(`${flag} takes ${option.choices.join(', ')}, not "${item}".`)
  }
  return items
}

/** The help text, made from the table. */
export function helpOf(description: CommandDescription<OptionTable>): string {
  const { summary, flags, positionals, notes = [] } = description
  const command = commandOf(description)
  const entries = Object.entries(flags).map(([name, option]) => {
    const left = option.type === 'boolean' ? `--${kebab(name)}` : `--${kebab(name)} ${placeholderOf(option)}`
    const fallback = 'default' in option && option.default !== undefined ? ` (default ${String(option.default)})` : ''
    return { left, right: option.help + fallback }
  })
  entries.push({ left: '--help', right: 'this text' })
  const width = Math.max(...entries.map(({ left }) => left.length))
  const usage = `${command}${dashesOf(description)}${positionals ? ` ${positionals}` : ''} [options]`
  const lines = [
    summary,
    '',
    `  ${usage}`,
    '',
    ...entries.map(({ left, right }) => `  ${left.padEnd(width)}   ${right}`),
  ]
  if (notes.length > 0) lines.push('', ...notes)
  return `${lines.join('\n')}\n`
}

function placeholderOf(option: IntegerOption | TextOption | ListOption): string {
  if (option.type === 'integer') return 'N'
  return option.placeholder ?? option.choices?.join('|') ?? 'TEXT'
}

const commandOf = (description: { command: string }) => description.command.replace(/ --$/, '')

/** npm keeps options for itself that come before `--`; other commands need none. */
const dashesOf = ({ command }: { command: string }) => (command.startsWith('npm ') ? ' --' : '')

const hint = (description: { command: string }) => ` See: ${commandOf(description)}${dashesOf(description)} --help`

function nearest(flag: string, known: readonly string[]): string {
  const close = known
    .map((name) => ({ name, distance: distanceOf(flag, name) }))
    .sort((one, other) => one.distance - other.distance)[0]
  return close && close.distance <= 3 ? ` Did you mean ${close.name}?` : ''
}

/** Levenshtein distance. */
function distanceOf(one: string, other: string): number {
  let previous = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (let row = 1; row <= one.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= other.length; column += 1) {
      const substitution = (previous[column - 1] ?? 0) + (one[row - 1] === other[column - 1] ? 0 : 1)
      current.push(Math.min((previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1, substitution))
    }
    previous = current
  }
  return previous[other.length] ?? 0
}
