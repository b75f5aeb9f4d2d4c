/** A server in the API server's place, for tests: pods that come and go, and what they answer at their ports. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { KubeReader } from './kube-read.ts'
import type { PodObject } from './pods.ts'
import type { LoadSecond, Sample } from './samples.ts'

export type FakeCluster = {
  api: KubeReader
  /** Paths (without query) → JSON, text or bytes; a missing path answers 404, an Error 503. */
  answers: Map<string, unknown>
  asked: string[]
  /** `host:port` */
  address: () => string
  close(): Promise<void>
}

export async function startFakeCluster(): Promise<FakeCluster> {
  const answers = new Map<string, unknown>()
  const asked: string[] = []
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0]!
    asked.push(request.url ?? '')
    const answer = answers.get(path)
    if (answer === undefined || answer instanceof Error) {
      response.writeHead(answer === undefined ? 404 : 503, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ kind: 'Status', message: answer?.message ?? `no ${path}` }))
    } else {
      response.end(answer instanceof Uint8Array || typeof answer === 'string' ? answer : JSON.stringify(answer))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    api: {
      get: (path, { timeoutMs = 5_000 } = {}) => fetch(`${url}${path}`, { signal: AbortSignal.timeout(timeoutMs) }),
    },
    answers,
    asked,
    address: () => new URL(url).host,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

type FakePhase = 'pending' | 'creating' | 'running' | 'ready' | 'terminating' | 'succeeded'

export function fakePod(name: string, labels: Record<string, string>, phase: FakePhase): PodObject {
  const condition = (type: string, holds: boolean) => ({ type, status: holds ? 'True' : 'False' })
  return {
    metadata: { name, labels, ...(phase === 'terminating' ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}) },
    spec: { containers: [{ ports: [{ name: 'http', containerPort: 8_081 }] }] },
    status: {
      phase: {
        pending: 'Pending',
        creating: 'Pending',
        succeeded: 'Succeeded',
        running: 'Running',
        ready: 'Running',
        terminating: 'Running',
      }[phase],
      conditions: [
        condition('PodScheduled', phase !== 'pending'),
        condition('Ready', phase === 'ready' || phase === 'terminating'),
      ],
    },
  }
}

/** A `Stat` message of a queue-proxy, as protobuf writes it. */
export function encodeStat(podName: string, concurrency: number, requestsPerSecond: number): Uint8Array {
  const name = Buffer.from(podName)
  const double = (field: number, value: number) => {
    const bytes = Buffer.alloc(9)
    bytes[0] = field * 8 + 1
    bytes.writeDoubleLE(value, 1)
    return value === 0 ? Buffer.alloc(0) : bytes
  }
  return Buffer.concat([
    Buffer.from([10, name.length]),
    name,
    double(2, concurrency),
    double(4, requestsPerSecond),
    double(6, 12.5),
  ])
}

export const loadSecond = (second: Partial<LoadSecond> = {}): LoadSecond => ({
  target: 0,
  sent: 0,
  accepted: 0,
  refused: 0,
  errors: 0,
  cut: 0,
  noAnswer: 0,
  inFlight: 0,
  notSent: 0,
  loopDelayMs: 0,
  cpuShare: 0,
  ...second,
})

/** A sale of 30 seconds: seckill 0 → 3 → 0, with gaps where nothing could be read. */
export function exampleSamples(): Sample[] {
  return Array.from({ length: 30 }, (_, second): Sample => {
    const phase = second < 5 ? 'before' : second < 10 ? 'warm' : second < 18 ? 'burst' : 'down'
    const ready = second < 6 ? 0 : second < 11 ? 1 : second < 20 ? 3 : 0
    const base: Sample = { atMs: Date.UTC(2026, 0, 1) + second * 1_000, second, phase, functions: {} }
    if (second === 12) return base
    return {
      ...base,
      functions: {
        seckill: {
          pods: {
            pending: 0,
            creating: second === 5 ? 1 : 0,
            running: 0,
            ready,
            terminating: second > 19 && second < 24 ? 3 : 0,
          },
          desired: second < 5 || second > 18 ? 0 : 3,
          actual: ready,
          ...(ready > 0 ? { concurrency: 1.25, requestsPerSecond: 100 } : {}),
        },
      },
      lag: { 'trigger/stampede/order': second },
      stock: { left: 100 - second, sold: second, confirmed: Math.max(0, second - 1), outbox: 0 },
      ...(phase === 'warm' || phase === 'burst'
        ? { load: loadSecond({ target: 100, sent: 100, accepted: 90, refused: 9, errors: 1, p50Ms: 4.5, p99Ms: 40 }) }
        : {}),
    }
  })
}
