/** A thread of the simulation: plays the ranges that it is given. */
import { parentPort, workerData } from 'node:worker_threads'
import { playRange, redisFor, type Range } from './run-schedules.ts'
import type { PlantName } from './plants.ts'

const redis = await redisFor((workerData as { plant: PlantName | undefined }).plant)
// Simulated failures throw by the thousand; nobody reads their stacks.
Error.stackTraceLimit = 0
parentPort?.on('message', (range: Range) => {
  void playRange(range, redis).then((outcome) => parentPort?.postMessage({ from: range.from, outcome }))
})
