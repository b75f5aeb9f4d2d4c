/** Which plots an observation has. */
import { namesIn } from './columns.ts'
import type { Band, Plot, Series } from './plot.ts'
import type { LoadSecond, PodCounts, Sample } from './samples.ts'

export function bandsOf(samples: readonly Sample[]): Band[] {
  const bands: Band[] = []
  for (const { phase, second } of samples) {
    const last = bands.at(-1)
    if (last?.name === phase) last.to = second + 1
    else {
      if (last) last.to = second
      bands.push({ name: phase, from: second, to: second + 1 })
    }
  }
  return bands
}

export function plotsOf(samples: readonly Sample[]): Plot[] {
  const load = (name: string, style: number, of: (load: LoadSecond) => number | undefined): Series => ({
    name,
    style,
    values: samples.map((sample) => sample.load && of(sample.load)),
  })
  const names = namesIn(samples, ({ functions }) => functions)
  const consumers = namesIn(samples, ({ lag }) => lag ?? {})
  const plots: Plot[] = [
    {
      id: 'requests',
      title: 'Requests a second',
      unit: '1/s',
      description: 'What the load generator sent, and how it was answered, each second.',
      series: [
        load('sent', 0, ({ sent }) => sent),
        load('accepted', 1, ({ accepted }) => accepted),
        load('refused', 2, ({ refused }) => refused),
        load('errors and unanswered', 3, ({ errors, noAnswer }) => errors + noAnswer),
      ],
    },
    {
      id: 'latency',
      title: 'Time to the answer',
      unit: 'ms',
      description: 'Median and 99th percentile of each second, seen by the load generator.',
      series: [load('p99', 3, ({ p99Ms }) => p99Ms), load('p50', 0, ({ p50Ms }) => p50Ms)],
    },
    ...names.map((name): Plot => {
      const values = (of: (sample: Sample) => number | undefined) => samples.map(of)
      const desired = values(({ functions }) => functions[name]?.desired)
      const known = samples.flatMap(({ functions }) => functions[name]?.pods?.ready ?? [])
      return {
        id: `pods-${name}`,
        title: `Pods of ${name}`,
        unit: 'pods',
        stacked: true,
        description: `Pods by phase each second; ready between ${Math.min(...known, Number.POSITIVE_INFINITY)} and ${Math.max(...known, 0)}, at most ${Math.max(0, ...desired.map((one) => one ?? 0))} wanted.`,
        series: ['ready', 'running', 'creating', 'pending', 'terminating'].map((phase, style) => ({
          name: phase,
          style,
          values: values(({ functions }) => functions[name]?.pods?.[phase as keyof PodCounts]),
        })),
      }
    }),
    byFunction(
      'scale',
      'Desired scale',
      'pods',
      'What the autoscaler wants of each function.',
      ({ desired }) => desired,
    ),
    byFunction(
      'concurrency',
      'Requests in work',
      'requests',
      'Average over all pods of a function, from their queue-proxies.',
      ({ concurrency }) => concurrency,
    ),
    byFunction(
      'rate',
      'Requests a second in the pods',
      '1/s',
      'Sum over all pods of a function, from their queue-proxies.',
      ({ requestsPerSecond }) => requestsPerSecond,
    ),
    byFunction(
      'pod-latency',
      'Time to the answer in the pods, p99',
      'ms',
      'From the histograms of the queue-proxies: without the way there, and no finer than their buckets.',
      ({ p99Ms }) => p99Ms,
    ),
    byFunction(
      'pod-errors',
      'Answers with 500 and more in the pods',
      '1/s',
      'From the queue-proxies.',
      ({ errors }) => errors,
    ),
    {
      id: 'lag',
      title: 'Records that wait',
      unit: 'records',
      description: 'Lag of each consumer of events.',
      series: consumers.map((name, style) => ({ name, style, values: samples.map(({ lag }) => lag?.[name]) })),
    },
    {
      id: 'stock',
      title: 'Stock',
      unit: 'units',
      description: 'What is left, sold, and stored as orders, from the live view of the sale.',
      series: (['left', 'sold', 'confirmed'] as const).map((key, style) => ({
        name: key === 'confirmed' ? 'stored' : key,
        style,
        values: samples.map(({ stock }) => stock?.[key]),
      })),
    },
  ]
  // A plot of nothing but gaps says nothing.
  return plots
    .map((plot) => ({
      ...plot,
      series: plot.series.filter(({ values }) => values.some((value) => value !== undefined)),
    }))
    .filter(({ series }) => series.length > 0)

  function byFunction(
    id: string,
    title: string,
    unit: string,
    description: string,
    of: (sample: Sample['functions'][string]) => number | undefined,
  ): Plot {
    return {
      id,
      title,
      unit,
      description,
      series: names.map((name, style) => ({
        name,
        style,
        values: samples.map(({ functions }) => functions[name] && of(functions[name])),
      })),
    }
  }
}
