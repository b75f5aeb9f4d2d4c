import { randomBytes } from 'node:crypto'

export type RequestIds = () => string

/** Ids that are unique over processes: random for the process, counted for the request. */
export function createRequestIds(process = randomBytes(6).toString('hex')): RequestIds {
  let count = 0
  return () => `${process}-${(++count).toString(36)}`
}
