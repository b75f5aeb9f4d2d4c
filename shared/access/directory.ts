/**
 * Writes the access directory. Every call is one script: it changes the hash and appends to the change stream, or neither. Calls can
 * be repeated and come in any order: what is older never replaces what is newer.
 */
import type { Cluster, Redis } from 'ioredis'
import { accessComplete, accessCorrect, accessPut } from '@stampede/lua/generated/scripts.ts'
import type { Script } from '@stampede/lua/generated/scripts.ts'
import { Problem } from '../http/problem.ts'
import { runScript } from '../redis/run-script.ts'
import { correctionTtlMs, factLines } from './facts.ts'
import { accessKeys } from './keys.ts'
import type { AccessDirectory } from './types.ts'

export type AccessDirectoryOptions = {
  /** Changes that the stream keeps, about; default 10,000. Whoever is further behind reads everything again. */
  keptChanges?: number
  /**
   * Facts of corrections that a tenant has at most; default 200,000. With these no more sessions are entered; for what is said of accounts
   * there is room for as many again, so that people who sign in and out by the thousand do not keep staff from blocking one of them.
   */
  maximumFacts?: number
}

/** Its calls throw Problem `dependency-unavailable` when Redis does not answer, and a TypeError for values that make no sense. */
export function createAccessDirectory(redis: Redis | Cluster, options: AccessDirectoryOptions = {}): AccessDirectory {
  const { keptChanges = 10_000, maximumFacts = 200_000 } = options
  const { changes, sequence, complete } = accessKeys
  const run = async (script: Script, keysAndArguments: (string | number)[]): Promise<unknown> => {
    try {
      return await runScript(redis, script, keysAndArguments)
    } catch (cause) {
      throw new Problem('dependency-unavailable', 'The access directory cannot be written.', {
        cause,
        retryAfterSeconds: 1,
      })
    }
  }
  const put = async (tenantId: string, field: 'tenant' | 'roles', version: number, value: unknown) => {
    if (!Number.isSafeInteger(version) || version < 1) throw new TypeError('a version is a positive whole number')
    const json = JSON.stringify(value)
    await run(accessPut, [accessKeys.tenant(tenantId), changes, sequence, field, version, json, tenantId, keptChanges])
  }
  return {
    putTenant: (tenantId, { state, quota, version, storageExceeded }) =>
      put(tenantId, 'tenant', version, {
        state,
        quota,
        version,
        storageExceeded: storageExceeded || undefined,
      }),
    putRoles: (tenantId, { roles, version }) => put(tenantId, 'roles', version, { roles, version }),
    async correct(tenantId, userId, correction) {
      const lines = factLines(userId, correction)
      if (lines === '') return
      const keys = [accessKeys.corrections(tenantId), accessKeys.ends(tenantId), changes, sequence]
      const limit = correction.revokedSessions?.length ? maximumFacts : 2 * maximumFacts
      const entered = await run(accessCorrect, [...keys, lines, tenantId, limit, correctionTtlMs, keptChanges])
      if (entered === -1) {
        throw new Problem('overloaded', `Tenant ${tenantId} has more corrections than can be kept.`, {
          retryAfterSeconds: 60,
        })
      }
    },
    async markComplete() {
      await run(accessComplete, [complete, changes, sequence, keptChanges])
    },
  }
}
