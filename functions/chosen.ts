/** Which functions a process of the collection runs. */
import type { AnyFunction } from '@stampede/shared/function/declaration.ts'

/** @param names of FUNCTIONS, separated by commas; undefined or empty: all. Throws an Error for people when a name is unknown. */
export function chosenFunctions(all: readonly AnyFunction[], names: string | undefined): readonly AnyFunction[] {
  const wanted = (names ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  if (wanted.length === 0) return all
  const unknown = wanted.filter((name) => !all.some((one) => one.name === name))
  if (unknown.length > 0)
    throw new Error(
      `FUNCTIONS names ${unknown.join(', ')}, which ${unknown.length === 1 ? 'is' : 'are'} not among ${all.map(({ name }) => name).join(', ')}.`,
    )
  return all.filter(({ name }) => wanted.includes(name))
}
