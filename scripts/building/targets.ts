/** What `npm run build` can build: each function, the whole collection as one, the eventing engine. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

export type Target = {
  /** As a person types it; the name of the image too. */
  name: string
  kind: 'function' | 'collection' | 'engine'
  /** The module that starts it. */
  entry: string
  /** The folder that becomes self-contained; the bundle is in its `dist`. */
  folder: string
}

/** Every function by name, then the collection and the engine. */
export function findTargets(root: string): Target[] {
  const functions = readdirSync(join(root, 'functions'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(root, 'functions', entry.name, 'func.yaml')))
    .map(({ name }): Target => {
      const folder = join(root, 'functions', name)
      return { name, kind: 'function', entry: join(folder, 'main.ts'), folder }
    })
    .toSorted((one, other) => (one.name < other.name ? -1 : 1))
  const eventing = join(root, 'eventing')
  return [
    ...functions,
    // A folder of its own: the root's package.json starts a sale for a person, not a function.
    {
      name: 'stampede',
      kind: 'collection',
      entry: join(root, 'functions', 'main.ts'),
      folder: join(root, 'dist', 'stampede'),
    },
    { name: 'eventing-engine', kind: 'engine', entry: join(eventing, 'engine', 'main.ts'), folder: eventing },
  ]
}

/** @throws Error that names what there is. */
export function chooseTargets(all: readonly Target[], names: readonly string[]): Target[] {
  const known = all.map(({ name }) => name)
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length > 0) throw new Error(`There is no ${unknown.join(', ')} to build. There are: ${known.join(', ')}.`)
  return names.length === 0 ? [...all] : all.filter(({ name }) => names.includes(name))
}
