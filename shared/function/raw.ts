/** What is answered in front of the runtime's router: hot routes, mounted libraries, and whoever takes the rest. */
import type { IncomingMessage } from 'node:http'
import type { HotHandler, RawHandler } from './declaration.ts'
import type { Host, Mounted } from './host.ts'
import { compileHotPath, compilePrefix } from './path.ts'
import type { PathMatcher } from './path.ts'

export type HotEntry = { method: string; path: string; match: PathMatcher; handle: HotHandler; count: number }
/** `method` is `*`: the library decides. */
export type RawEntry = { method: '*'; path: string; match: PathMatcher; handle: RawHandler; count: number }

export type RawEntries = {
  hot: HotEntry[]
  mounts: RawEntry[]
  fallback: RawEntry | undefined
  /** Undefined: everybody may see the host's own pages. */
  ownPages: ((request: IncomingMessage) => boolean) | undefined
}

export function rawEntriesOf({ mounted }: Host): RawEntries {
  const mounts = mounted.flatMap(({ definition, dependencies }) =>
    (definition.mounts ?? []).map((own): RawEntry => {
      const match = compilePrefix(own.prefix)
      return { method: '*', path: own.prefix, match, handle: own.handler(dependencies), count: 0 }
    }),
  )
  const taker = mounted.find(({ definition }) => definition.fallback)
  const handle = taker?.definition.fallback?.(taker.dependencies)
  return {
    hot: mounted.flatMap(hotEntriesOf),
    mounts,
    fallback: handle && { method: '*', path: '*', match: () => [], handle, count: 0 },
    ownPages: taker?.definition.ownPages?.(taker.dependencies),
  }
}

function hotEntriesOf({ definition, dependencies }: Mounted): HotEntry[] {
  return definition.routes.flatMap((route) => {
    if (route.kind !== 'hot-route') return []
    const { method, path } = route
    return [{ method, path, match: compileHotPath(path), handle: route.handler(dependencies), count: 0 }]
  })
}
