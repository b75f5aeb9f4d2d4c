/**
 * A Redis in memory for the simulation: the scripts of the sale run unchanged in an embedded Lua 5.4 (wasmoon), on
 * `emulation.lua`. One interpreter serves all schedules of a thread; `reset` empties it.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { LUA_REGISTRYINDEX, LuaFactory } from 'wasmoon'
import type { LuaEngine } from 'wasmoon'

export type RedisReply = string | number | null | RedisReply[]

export class RedisReplyError extends Error {
  override readonly name = 'ReplyError'
}

export type SimulatedRedis = Awaited<ReturnType<typeof createSimulatedRedis>>

export type BucketDump = {
  sale: Record<string, string>
  buyers: Record<string, string>
  /** Values of the field `p`. */
  messages: string[]
  transfers: Record<string, string>
  received: Record<string, string>
}

function asRecord(pairs: readonly string[]): Record<string, string> {
  const record: Record<string, string> = {}
  for (let i = 0; i < pairs.length; i += 2) record[pairs[i]!] = pairs[i + 1]!
  return record
}

const separator = '\u0001'

function decode(text: string): RedisReply {
  const tokens = text.split(separator)
  let at = 0
  const next = (): RedisReply => {
    const token = tokens[at++]!
    const rest = token.slice(1)
    switch (token[0]) {
      case '$':
      case '+':
        return rest
      case ':':
        return Number(rest)
      case '_':
        return null
      case '*': {
        const items: RedisReply[] = []
        for (let left = Number(rest); left > 0; left--) items.push(next())
        return items
      }
      default:
        throw new RedisReplyError(rest)
    }
  }
  return next()
}

/** The heap of the WebAssembly module, as far as it is used here. */
type Heap = {
  HEAPU8: Uint8Array
  _malloc(bytes: number): number
  /** Address of the text; its length is written to `length`. */
  _lua_tolstring(state: number, at: number, length: number): number
}

const commandLimitBytes = 256 * 1024

/** Calls `name(number, text): text` without the conversions of wasmoon, which cost more than the command. ASCII only. */
function directCall(engine: LuaEngine, name: string): (value: number, text: string) => string {
  const { lua, address } = engine.global
  const heap = lua.module as unknown as Heap
  const buffer = heap._malloc(commandLimitBytes)
  const length = heap._malloc(8)
  lua.lua_getglobal(address, name)
  const reference = BigInt(lua.luaL_ref(address, LUA_REGISTRYINDEX))
  return (value, text) => {
    if (text.length > commandLimitBytes) throw new RangeError('the command is too long for the simulation')
    lua.lua_rawgeti(address, LUA_REGISTRYINDEX, reference)
    lua.lua_pushnumber(address, value)
    for (let i = 0; i < text.length; i++) heap.HEAPU8[buffer + i] = text.charCodeAt(i)
    lua.lua_pushlstring(address, buffer, text.length)
    const status = lua.lua_pcallk(address, 2, 1, 0, 0, null)
    const start = heap._lua_tolstring(address, -1, length)
    const { HEAPU8 } = heap
    const bytes = HEAPU8[length]! | (HEAPU8[length + 1]! << 8) | (HEAPU8[length + 2]! << 16)
    const result = Buffer.from(HEAPU8.buffer, start, bytes).toString('latin1')
    lua.lua_settop(address, -2)
    if (status !== 0) throw new Error(result)
    return result
  }
}

/** `patch` may change the text of a script before it is compiled: that is how bugs are planted. */
export async function createSimulatedRedis(patch: (code: string) => string = (code) => code) {
  const lua = await new LuaFactory().createEngine({ openStandardLibs: true, injectObjects: false, enableProxy: false })
  await lua.doString(readFileSync(new URL('emulation.lua', import.meta.url), 'utf8'))
  const command = directCall(lua, 'stampede_command')
  const compile = lua.global.get('stampede_script') as (sha: string, name: string, source: string) => void
  const known = lua.global.get('stampede_known') as (sha: string) => void
  const resetAll = lua.global.get('stampede_reset') as (runId: string, replicas: number) => void
  const restartProcess = lua.global.get('stampede_restart') as (
    runId: string,
    writes: number,
    sinceMs: number,
  ) => number
  const durable = lua.global.get('stampede_durable') as (untilMs: number) => void
  const bucket = directCall(lua, 'stampede_bucket')
  const shaOf = new Map<string, string>()

  const load = (source: string, name = 'script'): string => {
    let sha = shaOf.get(source)
    if (sha === undefined) {
      sha = createHash('sha1').update(source).digest('hex')
      compile(sha, name, patch(source))
      shaOf.set(source, sha)
    }
    known(sha)
    return sha
  }

  return {
    /** Runs one command at this time. Arguments must not contain U+0001. Throws `RedisReplyError` for error replies. */
    command(nowMs: number, name: string, parameters: readonly (string | number)[]): RedisReply {
      const verb = name.toUpperCase()
      if (verb === 'SCRIPT' && String(parameters[0]).toUpperCase() === 'LOAD') return load(String(parameters[1]))
      if (verb === 'EVAL') {
        const sha = load(String(parameters[0]))
        return decode(command(nowMs, ['EVALSHA', sha, ...parameters.slice(1), ''].join(separator)))
      }
      return decode(command(nowMs, [verb, ...parameters, ''].join(separator)))
    },
    load,
    /** All of a bucket at this moment, past every process. */
    bucket: (prefix: string): BucketDump => {
      const [sale, buyers, messages, transfers, received] = decode(bucket(0, prefix)) as string[][]
      return {
        sale: asRecord(sale!),
        buyers: asRecord(buyers!),
        messages: messages!,
        transfers: asRecord(transfers!),
        received: asRecord(received!),
      }
    },
    /** An empty Redis, as if just installed. */
    reset: (runId: string, replicas = 0) => resetAll(runId, replicas),
    /** The process is replaced: up to `writes` of the commands that wrote at or after `sinceMs` are lost, the last ones. */
    restart: (runId: string, writes = 0, sinceMs = 0): number => restartProcess(runId, writes, sinceMs),
    /** Frees the memory of what can no longer be lost. */
    durable: (untilMs: number) => durable(untilMs),
    close: () => lua.global.close(),
  }
}
