/** What the runtime calls: finds the route of an exchange and answers it. */
import { once } from 'node:events'
import { sendProblem } from '../http/answer.ts'
import { Problem } from '../http/problem.ts'
import type { HotRoute, HttpMethod, Route } from './declaration.ts'
import { createEventReceiver } from './events.ts'
import { answerError, answerRoute } from './exchange.ts'
import type { Exchange, MountedRoute } from './exchange.ts'
import type { Host } from './host.ts'
import type { HotEntry } from './raw.ts'
import { createRouter } from './router.ts'

type Target =
  | { kind: 'route'; mounted: MountedRoute }
  | { kind: 'hot'; entry: HotEntry; names: readonly string[] }
  | { kind: 'events'; all: boolean }

export type Dispatch = {
  /** What the runtime calls. */
  invoke: (exchange: unknown) => Promise<void>
  /** Is there a route at this path, with this method or another? */
  knows: (method: string, path: string) => boolean
}

export function createDispatch(host: Host, hot: readonly HotEntry[]): Dispatch {
  const router = createRouter<Target>()
  const receive = createEventReceiver(host)
  for (const owner of host.mounted) {
    for (const route of owner.definition.routes as readonly (Route<unknown> | HotRoute<unknown>)[]) {
      if (route.kind === 'route') router.add(route.method, route.path, { kind: 'route', mounted: { route, owner } })
    }
  }
  for (const entry of hot) {
    const names = entry.path.split('/').filter((part) => part.startsWith(':'))
    router.add(entry.method as HttpMethod, entry.path, {
      kind: 'hot',
      entry,
      names: names.map((name) => name.slice(1)),
    })
  }
  // Where somebody takes the rest, the addresses of events belong to it unless a function of the process has any.
  const takesEvents = host.mounted.some(
    ({ definition: { events = [], schedules = [] } }) => events.length + schedules.length > 0,
  )
  if (takesEvents || !host.mounted.some(({ definition }) => definition.fallback)) {
    router.add('POST', '/', { kind: 'events', all: true })
    router.add('POST', '/events/:function', { kind: 'events', all: false })
  }

  const answer = async (exchange: Exchange): Promise<string> => {
    const { method, path, response } = exchange
    const match = router.find(method, path)
    if (match.kind === 'found') {
      const { target, params } = match
      if (target.kind === 'route') {
        await answerRoute(host, exchange, target.mounted, params)
        return target.mounted.route.path
      }
      if (target.kind === 'events') {
        await receive(exchange, target.all ? undefined : params['function'])
        return path === '/' ? '/' : '/events/:function'
      }
      // HEAD, or a path with percent-encoding: the front let it through. The handler gets the request as it came.
      const { request } = exchange
      request.method = method
      request.url = exchange.query === '' ? path : `${path}?${exchange.query}`
      request.headers = exchange.headers
      target.entry.count++
      target.entry.handle(
        request,
        response,
        target.names.map((name) => params[name] ?? ''),
      )
      // The handler answers later; were this to return before, the runtime would answer in its place.
      if (!response.writableEnded && !response.destroyed) await once(response, 'close')
      return target.entry.path
    }
    if (match.kind === 'malformed') sendProblem(response, new Problem('invalid-request', 'The path is not valid.'))
    else if (match.kind === 'none') sendProblem(response, new Problem('not-found', 'There is nothing at this address.'))
    else if (method === 'OPTIONS') response.writeHead(204, { allow: match.allowed.join(', ') }).end()
    else {
      const problem = new Problem('method-not-allowed', `${method.slice(0, 20)} is not possible here.`)
      sendProblem(response, problem, { allow: match.allowed.join(', ') })
    }
    return match.kind === 'other-methods' ? 'other-methods' : 'unknown'
  }

  const invoke = async (given: unknown) => {
    const exchange = given as Exchange
    const stop = host.measures.requestSeconds.startTimer({ method: exchange.method })
    let route = 'unknown'
    try {
      route = await answer(exchange)
    } catch (error) {
      // Nothing may reach the runtime: it would send the message out.
      answerError(host, exchange, error, exchange.path)
    }
    // An answer that has not ended makes the runtime send its own; ending it does nothing when the client is gone.
    if (!exchange.response.writableEnded) exchange.response.end()
    stop({ route, status: exchange.response.statusCode })
  }
  const knows = (method: string, path: string) => {
    const { kind } = router.find(method, path)
    return kind === 'found' || kind === 'other-methods'
  }
  return { invoke, knows }
}
