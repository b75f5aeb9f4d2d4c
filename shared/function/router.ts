/** Finds a route by method and path in a tree of segments; a literal segment goes before a parameter. */
import type { HttpMethod } from './declaration.ts'
import { decodeSegment, parameterNames, segmentsOf } from './path.ts'

type Node<T> = {
  literals: Map<string, Node<T>>
  parameter: Node<T> | undefined
  methods: Map<string, { names: string[]; target: T }>
}

export type Match<T> =
  | { kind: 'found'; target: T; params: Record<string, string> }
  /** The path exists with other methods. */
  | { kind: 'other-methods'; allowed: string[] }
  | { kind: 'none' }
  /** The path cannot be decoded. */
  | { kind: 'malformed' }

export type Router<T> = {
  /** Throws a TypeError when the same method and path is there already. */
  add(method: HttpMethod, path: string, target: T): void
  /** `HEAD` finds what `GET` finds. */
  find(method: string, path: string): Match<T>
}

const newNode = <T>(): Node<T> => ({ literals: new Map(), parameter: undefined, methods: new Map() })

export function createRouter<T>(): Router<T> {
  const root = newNode<T>()

  const nodeFor = (path: string): Node<T> => {
    let node = root
    for (const segment of segmentsOf(path)) {
      if (segment.startsWith(':')) node = node.parameter ??= newNode<T>()
      else {
        const next = node.literals.get(segment) ?? newNode<T>()
        node.literals.set(segment, next)
        node = next
      }
    }
    return node
  }

  /** Depth is bounded by the depth of the tree, not by the request. */
  const walk = (node: Node<T>, segments: readonly string[], index: number, values: string[]): Node<T> | undefined => {
    if (index === segments.length) return node.methods.size > 0 ? node : undefined
    const segment = segments[index]!
    const literal = node.literals.get(segment)
    const found = literal && walk(literal, segments, index + 1, values)
    if (found || !node.parameter || segment === '') return found
    values.push(segment)
    const byParameter = walk(node.parameter, segments, index + 1, values)
    if (!byParameter) values.pop()
    return byParameter
  }

  return {
    add(method, path, target) {
      const node = nodeFor(path)
      if (node.methods.has(method)) throw new TypeError(`${method} ${path} is declared twice`)
      node.methods.set(method, { names: parameterNames(path), target })
    },
    find(method, path) {
      const segments: string[] = []
      for (const raw of path === '/' ? [] : path.slice(1).split('/')) {
        const segment = decodeSegment(raw)
        if (segment === undefined) return { kind: 'malformed' }
        segments.push(segment)
      }
      const values: string[] = []
      const node = walk(root, segments, 0, values)
      if (!node) return { kind: 'none' }
      const entry = node.methods.get(method) ?? (method === 'HEAD' ? node.methods.get('GET') : undefined)
      if (!entry) return { kind: 'other-methods', allowed: allowedMethods(node.methods.keys()) }
      const params = Object.create(null) as Record<string, string>
      for (const [index, name] of entry.names.entries()) params[name] = values[index]!
      return { kind: 'found', target: entry.target, params }
    },
  }
}

function allowedMethods(methods: Iterable<string>): string[] {
  const allowed = new Set(methods)
  if (allowed.has('GET')) allowed.add('HEAD')
  allowed.add('OPTIONS')
  return [...allowed].sort()
}
