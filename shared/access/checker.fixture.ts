/** What the tests of the access directory share. */
import { randomBytes } from 'node:crypto'
import type { ExecutionContext } from 'ava'
import type { Principal } from '../function/declaration.ts'
import { connectRedis } from '../redis/connect.ts'
import { startRedis } from '../testing/services.ts'
import { createAccessChecker, type AccessCheckerOptions, type DirectoryChecker } from './checker.ts'
import { createAccessDirectory } from './directory.ts'

export const newTenant = (): string => `tenant-${randomBytes(6).toString('hex')}`

export const person = (tenantId: string, more: Partial<Principal> = {}): Principal => ({
  kind: 'staff',
  tenantId,
  userId: 'ann',
  roles: [],
  issuedAtMs: Date.now() - 60_000,
  ...more,
})

/** More than in production: the machine of the tests has other work. */
export const staleMs = 2_000

/** An own Redis with a directory on it; `checker` makes checkers that end with the test. */
export async function stage(t: ExecutionContext, appendonly = false) {
  const server = await startRedis({ appendonly })
  const redis = connectRedis(server.url)
  const checkers: DirectoryChecker[] = []
  t.teardown(async () => {
    await Promise.all(checkers.map((checker) => checker.close()))
    redis.disconnect()
    await server.stop()
  })
  return {
    server,
    redis,
    directory: createAccessDirectory(redis),
    checker: (options: Partial<AccessCheckerOptions> = {}) => {
      const checker = createAccessChecker({ redisUrl: server.url, staleMs, timeoutMs: 10_000, ...options })
      checkers.push(checker)
      return checker
    },
  }
}

/** Looks until it is so; fails after ten seconds. */
export async function until(look: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 10_000
  while (!(await look())) {
    if (performance.now() > endMs) throw new Error(`not within 10 s: ${String(look)}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** In memory, and followed: from here on `checkSync` answers alone. */
export async function followed(checker: DirectoryChecker, tenantId: string): Promise<void> {
  await checker.load(tenantId)
  await until(() => checker.ageMs() < 500)
}
