/**
 * Connections to Redis by URL:
 *
 *   redis://[user:password@]host:port[/db]            one server
 *   redis-cluster://[user:password@]host:port,host:port   a cluster, from any of its nodes
 *   redis-sentinel://[user:password@]host:port,host:port/masterName   the master that the sentinels name
 *
 * With a second `s` (`rediss://`, `rediss-cluster://`, …) over TLS. RESP2, so that replies have one shape everywhere.
 */
import { Cluster, Redis, type RedisOptions } from 'ioredis'

export type RedisConnectionOptions = {
  /** Time for one command, milliseconds. Default 5,000. */
  commandTimeoutMs?: number
  /** Time to connect, milliseconds. Default 2,000. */
  connectTimeoutMs?: number
  /**
   * False: a command fails at once while there is no connection, instead of waiting for one, and is not sent again after the connection broke.
   * For the hot path: a waiting press of "buy" helps nobody. Default true. The first command still connects.
   */
  queueWhileDisconnected?: boolean
  /** Shown in CLIENT LIST. */
  connectionName?: string
  /** Called with each connection error; ioredis reconnects by itself. Default: ignored, commands report what matters. */
  onError?: (error: Error) => void
}

const reconnectLimitMs = 1_000
/** 20, 40, 80 … 1,000 ms, with no end: the process waits for Redis, its readiness says so. */
const reconnectDelayMs = (attempt: number) => Math.min(reconnectLimitMs, 10 * 2 ** Math.min(attempt, 7))

/** A client that connects with its first command. Close it with `disconnect()` or `quit()`. */
export function connectRedis(url: string, options: RedisConnectionOptions = {}): Redis | Cluster {
  const { kind, tls, nodes, username, password, path } = parseRedisUrl(url)
  const queue = options.queueWhileDisconnected ?? true
  const common: RedisOptions = {
    protocol: 2,
    lazyConnect: true,
    connectTimeout: options.connectTimeoutMs ?? 2_000,
    commandTimeout: options.commandTimeoutMs ?? 5_000,
    maxRetriesPerRequest: queue ? 5 : 0,
    autoResendUnfulfilledCommands: queue,
    retryStrategy: reconnectDelayMs,
    // A replica that was the master until now: find the new one.
    reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
    ...(options.connectionName === undefined ? {} : { connectionName: options.connectionName }),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: {} } : {}),
  }
  const redis = open(kind, nodes, path, common, queue)
  redis.on('error', options.onError ?? (() => {}))
  return queue ? redis : failFast(redis)
}

function open(
  kind: RedisKind,
  nodes: readonly RedisNode[],
  path: string,
  common: RedisOptions,
  queue: boolean,
): Redis | Cluster {
  if (kind === 'cluster') {
    return new Cluster([...nodes], {
      redisOptions: common,
      lazyConnect: true,
      clusterRetryStrategy: reconnectDelayMs,
      slotsRefreshTimeout: 2_000,
      // Longer than a failover of the cluster's own making usually takes to be known.
      maxRedirections: 8,
      retryDelayOnFailover: queue ? 200 : 50,
      ...(common.tls ? { dnsLookup: (address, done) => done(null, address) } : {}),
    })
  }
  if (kind === 'sentinel') {
    if (path === '')
      throw new TypeError(
        'a redis-sentinel:// URL ends with the name of the master: redis-sentinel://host:26379/mymaster',
      )
    return new Redis({ ...common, sentinels: [...nodes], name: path, sentinelRetryStrategy: reconnectDelayMs })
  }
  const { host, port } = nodes[0]!
  return new Redis({ ...common, host, port, db: path === '' ? 0 : Number(path) })
}

/** After the first connection commands do not queue any more; before it they must, because the client connects lazily. */
function failFast(redis: Redis | Cluster): Redis | Cluster {
  redis.once('ready', () => {
    redis.options.enableOfflineQueue = false
  })
  return redis
}

export type RedisKind = 'single' | 'cluster' | 'sentinel'
export type RedisNode = { host: string; port: number }
export type RedisAddress = {
  kind: RedisKind
  tls: boolean
  nodes: RedisNode[]
  username?: string
  password?: string
  /** Database number or name of the master. */
  path: string
}

const urlPattern = /^redis(s?)(?:-(cluster|sentinel))?:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/@]+)(?:\/([^/?]*))?$/

/** Throws a TypeError that says what is wrong. The password is not in the message. */
export function parseRedisUrl(url: string): RedisAddress {
  const match = urlPattern.exec(url)
  if (!match) {
    throw new TypeError(
      'not a Redis URL: redis://host:port, redis-cluster://host:port,host:port or redis-sentinel://host:port,host:port/master',
    )
  }
  const [, tls, kind, username, password, hosts = '', path = ''] = match
  const defaultPort = kind === 'sentinel' ? 26_379 : 6_379
  const nodes = hosts.split(',').map((node) => parseNode(node, defaultPort))
  const credentials = {
    ...(username ? { username: decodeURIComponent(username) } : {}),
    ...(password ? { password: decodeURIComponent(password) } : {}),
  }
  return { kind: (kind as RedisKind | undefined) ?? 'single', tls: tls === 's', nodes, ...credentials, path }
}

function parseNode(node: string, defaultPort: number): RedisNode {
  const [, host, port] = /^(\[[0-9a-fA-F:]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(node) ?? []
  if (host === undefined) throw new TypeError(`not a host and port in a Redis URL: ${node}`)
  return { host: host.replace(/[[\]]/g, ''), port: port === undefined ? defaultPort : Number(port) }
}
