/** Asks the candidate's own address, so that its first buyer does not meet a cold process. */
import type { Route } from '../cluster/route.ts'
import { send } from '../cluster/send.ts'
import type { RolloutWorld } from './rollout-cluster.ts'

const good = 20
const attempts = 60
const pauseMs = 500

/**
 * Until 20 answers were well, or 60 requests were sent. 404 is none: so an ingress answers that does not know the address yet.
 * Undefined when nothing can be said: the address is not reached from here, or nobody knows the path.
 */
export async function warmAt(
  route: Pick<Route, 'connect'> | undefined,
  url: string,
  path: string,
  signal?: AbortSignal,
): ReturnType<RolloutWorld['warm']> {
  if (route === undefined) return undefined
  const target = { url, host: new URL(url).host, connect: route.connect }
  const seen = { answered: 0, failed: 0, unreachable: 0 }
  let lastStatus: number | undefined
  for (let attempt = 0; attempt < attempts && seen.answered < good; attempt += 1) {
    if (signal?.aborted === true) break
    try {
      const { status } = await send(target, path, { timeoutMs: 15_000 })
      lastStatus = status
      if (status < 500 && status !== 404) seen.answered += 1
      else seen.failed += 1
    } catch {
      seen.unreachable += 1
      if (seen.unreachable >= 5 && lastStatus === undefined) return undefined
    }
    if (seen.failed + seen.unreachable > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  if (seen.answered === 0 && lastStatus === 404) return undefined
  return { answered: seen.answered, failed: seen.failed, ...(lastStatus === undefined ? {} : { lastStatus }) }
}
