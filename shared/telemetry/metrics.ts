/** Metrics with prom-client. Every host has its own registries: no global state, several hosts fit in one process. */
import { Counter, Registry, collectDefaultMetrics } from 'prom-client'

/** A registry whose metrics carry the function's name, so that two functions of one process can use the same names. */
export function createFunctionRegistry(functionName: string): Registry {
  const registry = new Registry()
  registry.setDefaultLabels({ function: functionName })
  return registry
}

/** Heap, event loop lag, garbage collection, handles of the process. */
export function createProcessRegistry(): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return registry
}

/** The text of several registries as one: a family that several have is announced once. */
export async function metricsText(registries: readonly Registry[]): Promise<string> {
  const families = new Map<string, { head: string[]; samples: string[] }>()
  for (const registry of registries) {
    let family: { head: string[]; samples: string[] } | undefined
    for (const line of (await registry.metrics()).split('\n')) {
      if (line === '') continue
      if (line.startsWith('# HELP ')) {
        const name = line.split(' ', 3)[2] ?? ''
        const known = families.get(name)
        family = known ? { head: [], samples: known.samples } : { head: [], samples: [] }
        if (!known) families.set(name, family)
      }
      if (line.startsWith('#')) family?.head.push(line)
      else family?.samples.push(line)
    }
  }
  return [...families.values()].map(({ head, samples }) => [...head, ...samples].join('\n')).join('\n\n') + '\n'
}

export type HotCounter<L extends string> = {
  /** One addition; no lookup by labels, no allocation. */
  add(value: L, count?: number): void
  total(value: L): number
}

/**
 * A counter with one label for paths where prom-client's own `inc` with labels is too slow: numbers are added up in plain
 * fields and handed over when metrics are read. `values` are all values the label can have.
 */
export function createHotCounter<const L extends string>(
  registry: Registry,
  options: { name: string; help: string; label: string; values: readonly L[] },
): HotCounter<L> {
  const totals = Object.fromEntries(options.values.map((value) => [value, 0])) as Record<L, number>
  const counter = new Counter({
    name: options.name,
    help: options.help,
    labelNames: [options.label],
    registers: [],
    collect() {
      this.reset()
      for (const value of options.values) this.inc({ [options.label]: value }, totals[value])
    },
  })
  registry.registerMetric(counter)
  return {
    add: (value, count = 1) => {
      totals[value] += count
    },
    total: (value) => totals[value],
  }
}
