/**
 * Moments that many agree on. Each alarm is for a moment of its own, and a task that says "again in a minute" whenever it runs would soon
 * run as often as it has been called for; on a grid all of them mean the same moment.
 */

/** The first point of the grid that is not before `atMs`. */
export const gridFrom = (atMs: number, stepMs: number): number => Math.ceil(atMs / stepMs) * stepMs

/** The next point of the grid, a quarter of a step away at least: clocks differ, and the point that just rang is not the next one. */
export const gridAfter = (nowMs: number, stepMs: number): number => gridFrom(nowMs + stepMs / 4, stepMs)

/** The earliest of the moments that are known; undefined when none is. */
export function earliest(moments: Iterable<number | undefined>): number | undefined {
  let first: number | undefined
  for (const moment of moments) if (moment !== undefined && (first === undefined || moment < first)) first = moment
  return first
}
