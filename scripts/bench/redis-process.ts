import { connectRedis } from '@stampede/shared/redis/connect.ts'

/** Process id of a Redis on this machine; undefined when it cannot be known. */
export async function redisPid(url: string): Promise<number | undefined> {
  const redis = connectRedis(url)
  try {
    const match = /process_id:(\d+)/.exec(await redis.info('server'))
    return match ? Number(match[1]) : undefined
  } catch {
    return undefined
  } finally {
    redis.disconnect()
  }
}
