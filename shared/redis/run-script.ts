import type { Cluster, Redis } from 'ioredis'
import type { Script } from '@stampede/lua/generated/scripts.ts'

/**
 * Runs a script by its hash and sends its text only to a Redis that does not know it (a new one, or after SCRIPT FLUSH). Nothing
 * was executed when Redis answers NOSCRIPT, so running it again is safe. `keysAndArguments`: as many keys as the script has,
 * then its arguments. A script for any number of keys (its header says 0) is told how many there are.
 */
export async function runScript(
  redis: Redis | Cluster,
  script: Script,
  keysAndArguments: (string | number)[],
  numberOfKeys = script.numberOfKeys,
): Promise<unknown> {
  try {
    return await redis.evalsha(script.sha1, numberOfKeys, keysAndArguments as string[])
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
    return await redis.eval(script.code, numberOfKeys, keysAndArguments as string[])
  }
}
