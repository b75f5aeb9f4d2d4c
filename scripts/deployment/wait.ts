/** Waits until objects are ready, says each change, and explains what is not ready when it gives up. */
import { formatDuration } from '../lib/terminal.ts'
import { DeployError, namespace, type DeployContext } from './context.ts'
import { readinessOf, type LiveObject, type Verdict } from './readiness.ts'

/** `resource` as kubectl takes it, with its group: `services.serving.knative.dev`. */
export type ReadyThing = { resource: string; name: string; /** Default: the platform's. */ namespace?: string }

const pollMs = 1_500
/** A failed revision is believed after this time: Knative says so sometimes before it tries again. */
const hopelessAfterMs = 15_000

export async function waitUntilReady(
  context: DeployContext,
  things: readonly ReadyThing[],
  options: {
    /** What to tell about a thing that did not become ready. */
    explain?: (thing: ReadyThing, object: LiveObject | undefined) => Promise<string[]>
    onReady?: (thing: ReadyThing, object: LiveObject) => void
  } = {},
): Promise<void> {
  if (context.dryRun || things.length === 0) return
  const { say, now, sleep, timeoutMs } = context
  const beganMs = now()
  const open = new Map(things.map((thing) => [keyOf(thing), { thing, why: '', hopelessSinceMs: 0 }]))
  let live = new Map<string, LiveObject>()
  for (;;) {
    live = await readAll(
      context,
      [...open.values()].map(({ thing }) => thing),
    )
    for (const [key, entry] of open) {
      const object = live.get(key)
      const verdict: Verdict = object ? readinessOf(object) : { ready: false, why: 'it does not exist' }
      if (verdict.ready) {
        open.delete(key)
        if (options.onReady) options.onReady(entry.thing, object as LiveObject)
        else say(`${entry.thing.name} is ready (${formatDuration(now() - beganMs)})`)
        continue
      }
      if (verdict.why !== entry.why) say(`waiting for ${entry.thing.name}: ${verdict.why}`)
      entry.why = verdict.why
      entry.hopelessSinceMs = verdict.hopeless === true ? entry.hopelessSinceMs || now() : 0
    }
    if (open.size === 0) return
    const waiting = [...open.values()]
    const allHopeless = waiting.every(
      ({ hopelessSinceMs }) => hopelessSinceMs > 0 && now() - hopelessSinceMs >= hopelessAfterMs,
    )
    if (allHopeless || now() - beganMs >= timeoutMs) break
    await sleep(pollMs)
  }
  const lines: string[] = []
  for (const [key, { thing, why }] of open) {
    lines.push(`${thing.name} (${thing.resource}) is not ready: ${why}`)
    const more = (await options.explain?.(thing, live.get(key))) ?? [
      `more: kubectl -n ${placeOf(thing)} describe ${thing.resource} ${thing.name}`,
    ]
    lines.push(...more.map((line) => `  ${line}`))
  }
  throw new DeployError(`Not ready after ${formatDuration(now() - beganMs)}:\n${lines.join('\n')}`)
}

const placeOf = (thing: ReadyThing) => thing.namespace ?? namespace
const keyOf = (thing: ReadyThing) => `${placeOf(thing)}/${thing.resource}/${thing.name}`

async function readAll({ kubectl }: DeployContext, things: readonly ReadyThing[]): Promise<Map<string, LiveObject>> {
  const found = new Map<string, LiveObject>()
  const lists = new Map(things.map((thing) => [`${placeOf(thing)}/${thing.resource}`, thing]))
  for (const { resource, namespace: place } of lists.values()) {
    const { items } = await kubectl.json<{ items: LiveObject[] }>(['-n', place ?? namespace, 'get', resource])
    for (const item of items)
      found.set(
        keyOf({ resource, name: item.metadata.name, ...(place === undefined ? {} : { namespace: place }) }),
        item,
      )
  }
  return found
}
