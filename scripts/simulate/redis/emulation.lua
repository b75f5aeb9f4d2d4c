-- The commands of Redis that a sale uses, on tables. It runs in the same Lua interpreter as the scripts of the sale, so that
-- a redis.call costs a table look-up and no crossing between WebAssembly and JavaScript.
-- What is promised: the same replies as Redis 7.0 for these commands and these types of use (conformance.test.ts compares),
-- insertion order wherever Redis promises none, no clock and no chance of its own. Every write notes how to take it back, so
-- that the last commands can be undone: a crash that loses the tail of the append-only file.

collectgarbage("setpause", 1000)
local floor, format, concat, unpack = math.floor, string.format, table.concat, table.unpack
local nowMs, runId, replica = 0, '', 0
local db, expires, undo, touched, commandCount = {}, {}, {}, {}, 0
local compiled, known = {}, {}

local function copyList(list) return table.move(list, 1, #list, 1, {}) end

-- A map that remembers the order of insertion.
local function newMap() return { keys = {}, values = {} } end
local function mapPut(map, key, value)
  if map.values[key] == nil then map.keys[#map.keys + 1] = key end
  map.values[key] = value
end
local function mapRemove(map, key)
  map.values[key] = nil
  for i, k in ipairs(map.keys) do
    if k == key then table.remove(map.keys, i) break end
  end
end
-- The same with a note of how to take it back.
local function mapSet(map, key, value)
  local count = #undo + 1
  local old = map.values[key]
  undo[count] = { commandCount, nowMs, map, key, old }
  if old == nil then map.keys[#map.keys + 1] = key end
  map.values[key] = value
end
local function mapDelete(map, key)
  local old = map.values[key]
  if old == nil then return false end
  undo[#undo + 1] = { commandCount, nowMs, map, key, old }
  mapRemove(map, key)
  return true
end

local function cloneStream(value)
  local groups = newMap()
  for _, name in ipairs(value.groups.keys) do
    local group = value.groups.values[name]
    local pending, consumers = {}, newMap()
    for i, p in ipairs(group.pending) do pending[i] = { id = p.id, consumer = p.consumer, atMs = p.atMs, count = p.count } end
    for i, consumer in ipairs(group.consumers.keys) do mapPut(consumers, consumer, group.consumers.values[consumer]) end
    mapPut(groups, name, { last = group.last, pending = pending, consumers = consumers })
  end
  -- Entries themselves never change.
  return { type = 'stream', entries = copyList(value.entries), last = value.last, groups = groups }
end

-- Before a key itself is made, replaced or removed, and once in a command before a stream changes inside.
local function touch(key)
  if touched[key] then return end
  touched[key] = true
  local value = db[key]
  if value and value.type == 'stream' then value = cloneStream(value) end
  undo[#undo + 1] = { commandCount, nowMs, false, key, value, expires[key] }
end

local failure = {}
local function fail(message) error(setmetatable({ message = message }, failure), 0) end

local function text(value)
  if type(value) == 'string' then return value end
  if type(value) == 'number' then
    if math.type(value) == 'integer' then return format('%d', value) end
    if value == floor(value) and value > -1e15 and value < 1e15 then return format('%d', floor(value)) end
    return format('%.17g', value)
  end
  fail('ERR Lua redis lib command arguments must be strings or integers')
end

local function integer(value)
  local result = math.tointeger(tonumber(value))
  if not result then fail('ERR value is not an integer or out of range') end
  return result
end

local function lookup(key, kind)
  local at = expires[key]
  if at and at <= nowMs then
    touch(key)
    db[key], expires[key] = nil, nil
  end
  local value = db[key]
  if value and kind and value.type ~= kind then
    fail('WRONGTYPE Operation against a key holding the wrong kind of value')
  end
  return value
end
local function mapFor(key, kind)
  local value = lookup(key, kind)
  if not value then
    touch(key)
    value = { type = kind, map = newMap() }
    db[key] = value
  end
  return value.map
end
local function remove(key)
  touch(key)
  db[key], expires[key] = nil, nil
end

local OK = { ok = 'OK' }
local commands = {}

-- Strings and keys -----------------------------------------------------------------------------------------------------

function commands.PING() return { ok = 'PONG' } end
function commands.GET(key)
  local value = lookup(key, 'string')
  return value and value.text or false
end
function commands.SET(key, value, ...)
  local options = { ... }
  local old = lookup(key)
  local i, expiry, keep, get = 1, nil, false, false
  while i <= #options do
    local option = options[i]:upper()
    if option == 'NX' then if old then return false end
    elseif option == 'XX' then if not old then return false end
    elseif option == 'GET' then get = true
    elseif option == 'KEEPTTL' then keep = true
    elseif option == 'EX' then i = i + 1 expiry = nowMs + integer(options[i]) * 1000
    elseif option == 'PX' then i = i + 1 expiry = nowMs + integer(options[i])
    else fail('ERR syntax error') end
    i = i + 1
  end
  touch(key)
  db[key] = { type = 'string', text = value }
  if not keep then expires[key] = expiry end
  if get then return old and old.text or false end
  return OK
end
function commands.DEL(...)
  local count = 0
  for _, key in ipairs({ ... }) do
    if lookup(key) then remove(key) count = count + 1 end
  end
  return count
end
commands.UNLINK = commands.DEL
function commands.EXISTS(...)
  local count = 0
  for _, key in ipairs({ ... }) do if lookup(key) then count = count + 1 end end
  return count
end
function commands.INCRBY(key, amount)
  local value = lookup(key, 'string')
  local result = (value and integer(value.text) or 0) + integer(amount)
  touch(key)
  db[key] = { type = 'string', text = format('%d', result) }
  return result
end
function commands.INCR(key) return commands.INCRBY(key, '1') end
function commands.DECRBY(key, amount) return commands.INCRBY(key, format('%d', -integer(amount))) end
function commands.DECR(key) return commands.INCRBY(key, '-1') end
local function expireAt(key, atMs)
  if not lookup(key) then return 0 end
  touch(key)
  if atMs <= nowMs then remove(key) else expires[key] = atMs end
  return 1
end
function commands.EXPIRE(key, seconds) return expireAt(key, nowMs + integer(seconds) * 1000) end
function commands.PEXPIRE(key, ms) return expireAt(key, nowMs + integer(ms)) end
function commands.PTTL(key)
  if not lookup(key) then return -2 end
  return expires[key] and expires[key] - nowMs or -1
end
function commands.TTL(key)
  local left = commands.PTTL(key)
  return left < 0 and left or floor((left + 500) / 1000)
end
function commands.PERSIST(key)
  if not lookup(key) or not expires[key] then return 0 end
  touch(key)
  expires[key] = nil
  return 1
end
function commands.TYPE(key)
  local value = lookup(key)
  return { ok = value and value.type or 'none' }
end
function commands.TIME() return { format('%d', nowMs // 1000), format('%d', nowMs % 1000 * 1000) } end
function commands.INFO(section)
  return '# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nprocess_id:1\r\nrun_id:' .. runId ..
    '\r\ntcp_port:6379\r\nuptime_in_seconds:1\r\n'
end
function commands.WAITAOF() return { 1, 0 } end
function commands.WAIT() return replica end

-- Hashes ---------------------------------------------------------------------------------------------------------------

function commands.HGET(key, field)
  local value = lookup(key, 'hash')
  return value and value.map.values[field] or false
end
function commands.HMGET(key, ...)
  local value = lookup(key, 'hash')
  local result, fields = {}, { ... }
  for i, field in ipairs(fields) do result[i] = value and value.map.values[field] or false end
  return result
end
function commands.HSET(key, field, value, ...)
  if value and select('#', ...) == 0 then
    local map = mapFor(key, 'hash')
    local added = map.values[field] == nil and 1 or 0
    mapSet(map, field, value)
    return added
  end
  local pairsGiven = { field, value, ... }
  if #pairsGiven == 0 or #pairsGiven % 2 == 1 then fail("ERR wrong number of arguments for 'hset' command") end
  local map, added = mapFor(key, 'hash'), 0
  for i = 1, #pairsGiven, 2 do
    if map.values[pairsGiven[i]] == nil then added = added + 1 end
    mapSet(map, pairsGiven[i], pairsGiven[i + 1])
  end
  return added
end
function commands.HMSET(key, ...)
  commands.HSET(key, ...)
  return OK
end
function commands.HSETNX(key, field, value)
  if commands.HGET(key, field) then return 0 end
  mapSet(mapFor(key, 'hash'), field, value)
  return 1
end
function commands.HINCRBY(key, field, amount)
  local increment = integer(amount)
  local found = lookup(key, 'hash')
  local before = found and found.map.values[field]
  local number = before and math.tointeger(tonumber(before)) or 0
  if before and not math.tointeger(tonumber(before)) then fail('ERR hash value is not an integer') end
  local result = number + increment
  mapSet(found and found.map or mapFor(key, 'hash'), field, format('%d', result))
  return result
end
function commands.HDEL(key, ...)
  if not lookup(key, 'hash') then return 0 end
  local map, count = mapFor(key, 'hash'), 0
  for _, field in ipairs({ ... }) do if mapDelete(map, field) then count = count + 1 end end
  if #map.keys == 0 then remove(key) end
  return count
end
function commands.HLEN(key)
  local value = lookup(key, 'hash')
  return value and #value.map.keys or 0
end
function commands.HEXISTS(key, field) return commands.HGET(key, field) and 1 or 0 end
function commands.HGETALL(key)
  local value, result = lookup(key, 'hash'), {}
  if value then
    for _, field in ipairs(value.map.keys) do
      result[#result + 1] = field
      result[#result + 1] = value.map.values[field]
    end
  end
  return result
end
function commands.HKEYS(key)
  local value = lookup(key, 'hash')
  return value and copyList(value.map.keys) or {}
end
function commands.HVALS(key)
  local value, result = lookup(key, 'hash'), {}
  if value then for i, field in ipairs(value.map.keys) do result[i] = value.map.values[field] end end
  return result
end
-- Like a small hash in Redis: everything in one page.
function commands.HSCAN(key) return { '0', commands.HGETALL(key) } end

-- Sets -----------------------------------------------------------------------------------------------------------------

function commands.SADD(key, ...)
  local map, count = mapFor(key, 'set'), 0
  for _, member in ipairs({ ... }) do
    if map.values[member] == nil then count = count + 1 end
    mapSet(map, member, true)
  end
  return count
end
function commands.SREM(key, ...)
  if not lookup(key, 'set') then return 0 end
  local map, count = mapFor(key, 'set'), 0
  for _, member in ipairs({ ... }) do if mapDelete(map, member) then count = count + 1 end end
  if #map.keys == 0 then remove(key) end
  return count
end
function commands.SMEMBERS(key)
  local value = lookup(key, 'set')
  return value and copyList(value.map.keys) or {}
end
function commands.SISMEMBER(key, member)
  local value = lookup(key, 'set')
  return value and value.map.values[member] and 1 or 0
end
function commands.SCARD(key)
  local value = lookup(key, 'set')
  return value and #value.map.keys or 0
end

-- Streams. An id is kept as one integer, ms × 2^20 + sequence ----------------------------------------------------------

local sequenceLimit = 1048576
local function parseId(id, sequenceMissing)
  local ms, sequence = id:match('^(%d+)%-(%d+)$')
  if not ms then ms, sequence = id:match('^(%d+)$'), sequenceMissing or 0 end
  if not ms then fail('ERR Invalid stream ID specified as stream command argument') end
  return math.tointeger(tonumber(ms)) * sequenceLimit + math.tointeger(tonumber(sequence))
end
local function formatId(id) return format('%d-%d', id // sequenceLimit, id % sequenceLimit) end
local function entryReply(entry) return { formatId(entry.id), copyList(entry.fields) } end
local function findEntry(stream, id)
  for i, entry in ipairs(stream.entries) do if entry.id == id then return entry, i end end
end
local function trim(stream, maximum)
  local count = 0
  while #stream.entries > maximum do table.remove(stream.entries, 1) count = count + 1 end
  return count
end
local function writeStream(key)
  local stream = lookup(key, 'stream')
  touch(key)
  if not stream then
    stream = { type = 'stream', entries = {}, last = 0, groups = newMap() }
    db[key] = stream
  end
  return stream
end

function commands.XADD(key, ...)
  local arguments, i, create, maximum = { ... }, 1, true, nil
  while true do
    local option = arguments[i]:upper()
    if option == 'NOMKSTREAM' then create = false i = i + 1
    elseif option == 'MAXLEN' then
      i = i + 1
      if arguments[i] == '~' or arguments[i] == '=' then i = i + 1 end
      maximum = integer(arguments[i])
      i = i + 1
    else break end
  end
  if not create and not lookup(key, 'stream') then return false end
  local fields = { unpack(arguments, i + 1) }
  if #fields == 0 or #fields % 2 == 1 then fail("ERR wrong number of arguments for 'xadd' command") end
  local stream = writeStream(key)
  local id
  if arguments[i] == '*' then
    id = math.max(nowMs * sequenceLimit, stream.last + 1)
  else
    id = parseId(arguments[i])
    if id <= stream.last then fail('ERR The ID specified in XADD is equal or smaller than the target stream top item') end
  end
  stream.entries[#stream.entries + 1] = { id = id, fields = fields }
  stream.last = id
  if maximum then trim(stream, maximum) end
  return formatId(id)
end
function commands.XLEN(key)
  local stream = lookup(key, 'stream')
  return stream and #stream.entries or 0
end
local function range(key, first, last, count)
  local stream, result = lookup(key, 'stream'), {}
  if not stream then return result end
  local from = first == '-' and 0 or parseId(first:gsub('^%(', ''), 0)
  if first:sub(1, 1) == '(' then from = from + 1 end
  local to = last == '+' and math.maxinteger or parseId(last:gsub('^%(', ''), sequenceLimit - 1)
  if last:sub(1, 1) == '(' then to = to - 1 end
  for _, entry in ipairs(stream.entries) do
    if entry.id >= from and entry.id <= to then
      if count and #result >= count then break end
      result[#result + 1] = entryReply(entry)
    end
  end
  return result
end
function commands.XRANGE(key, first, last, option, count) return range(key, first, last, option and integer(count)) end
function commands.XREVRANGE(key, last, first, option, count)
  local all, result = range(key, first, last), {}
  for i = #all, 1, -1 do
    if option and #result >= integer(count) then break end
    result[#result + 1] = all[i]
  end
  return result
end
function commands.XDEL(key, ...)
  local stream, count = lookup(key, 'stream'), 0
  if not stream then return 0 end
  touch(key)
  for _, id in ipairs({ ... }) do
    local _, at = findEntry(stream, parseId(id))
    if at then table.remove(stream.entries, at) count = count + 1 end
  end
  return count
end
function commands.XTRIM(key, strategy, maximum, more)
  if not lookup(key, 'stream') then return 0 end
  return trim(writeStream(key), integer((maximum == '~' or maximum == '=') and more or maximum))
end

local function groupOf(key, name, command)
  local stream = lookup(key, 'stream')
  local group = stream and stream.groups.values[name]
  if not group then
    if command == 'XREADGROUP' then
      fail(format("NOGROUP No such key '%s' or consumer group '%s' in XREADGROUP with GROUP option", key, name))
    end
    fail(format("NOGROUP No such key '%s' or consumer group '%s'", key, name))
  end
  touch(key)
  return group, stream
end
function commands.XGROUP(verb, key, name, id, ...)
  verb = verb:upper()
  local stream = lookup(key, 'stream')
  if verb == 'CREATE' then
    local option = ...
    if not stream and not (option and option:upper() == 'MKSTREAM') then
      fail('ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM ' ..
        'option to create an empty stream automatically.')
    end
    if stream and stream.groups.values[name] then fail('BUSYGROUP Consumer Group name already exists') end
    stream = writeStream(key)
    mapPut(stream.groups, name, { last = id == '$' and stream.last or parseId(id), pending = {}, consumers = newMap() })
    return OK
  elseif verb == 'DESTROY' then
    if not stream then return 0 end
    touch(key)
    local there = stream.groups.values[name] and 1 or 0
    mapRemove(stream.groups, name)
    return there
  elseif verb == 'SETID' then
    groupOf(key, name).last = id == '$' and stream.last or parseId(id)
    return OK
  elseif verb == 'DELCONSUMER' then
    local group, kept = groupOf(key, name), {}
    for _, p in ipairs(group.pending) do if p.consumer ~= id then kept[#kept + 1] = p end end
    local count = #group.pending - #kept
    group.pending = kept
    mapRemove(group.consumers, id)
    return count
  end
  fail('ERR unknown subcommand')
end
function commands.XREADGROUP(_, name, consumer, ...)
  local arguments, i, count, noAcknowledge = { ... }, 1, math.maxinteger, false
  while arguments[i]:upper() ~= 'STREAMS' do
    local option = arguments[i]:upper()
    if option == 'COUNT' then i = i + 1 count = integer(arguments[i])
    elseif option == 'BLOCK' then i = i + 1
    elseif option == 'NOACK' then noAcknowledge = true end
    i = i + 1
  end
  local streams = (#arguments - i) // 2
  local result = {}
  for s = 1, streams do
    local key, id = arguments[i + s], arguments[i + streams + s]
    local group, stream = groupOf(key, name, 'XREADGROUP')
    mapPut(group.consumers, consumer, nowMs)
    local entries = {}
    if id == '>' then
      for _, entry in ipairs(stream.entries) do
        if #entries >= count then break end
        if entry.id > group.last then
          entries[#entries + 1] = entryReply(entry)
          group.last = entry.id
          if not noAcknowledge then
            group.pending[#group.pending + 1] = { id = entry.id, consumer = consumer, atMs = nowMs, count = 1 }
          end
        end
      end
      if #entries > 0 then result[#result + 1] = { key, entries } end
    else
      local after = parseId(id)
      for _, p in ipairs(group.pending) do
        if #entries >= count then break end
        if p.consumer == consumer and p.id > after then
          local entry = findEntry(stream, p.id)
          entries[#entries + 1] = entry and entryReply(entry) or { formatId(p.id), false }
          p.atMs, p.count = nowMs, p.count + 1
        end
      end
      result[#result + 1] = { key, entries }
    end
  end
  return #result > 0 and result or false
end
function commands.XACK(key, name, ...)
  local stream, count = lookup(key, 'stream'), 0
  local group = stream and stream.groups.values[name]
  if not group then return 0 end
  touch(key)
  for _, id in ipairs({ ... }) do
    local wanted = parseId(id)
    for i, p in ipairs(group.pending) do
      if p.id == wanted then table.remove(group.pending, i) count = count + 1 break end
    end
  end
  return count
end
function commands.XAUTOCLAIM(key, name, consumer, idleMs, start, option, count)
  local group, stream = groupOf(key, name)
  local minimum, from, limit = integer(idleMs), parseId(start), option and integer(count) or 100
  mapPut(group.consumers, consumer, nowMs)
  local entries, deleted, kept, seen, nextId = {}, {}, {}, 0, 0
  for _, p in ipairs(group.pending) do
    local keep = true
    if p.id >= from and nowMs - p.atMs >= minimum then
      if seen < limit then
        seen = seen + 1
        local entry = findEntry(stream, p.id)
        if entry then
          p.consumer, p.atMs, p.count = consumer, nowMs, p.count + 1
          entries[#entries + 1] = entryReply(entry)
        else
          deleted[#deleted + 1] = formatId(p.id)
          keep = false
        end
      elseif nextId == 0 then nextId = p.id end
    end
    if keep then kept[#kept + 1] = p end
  end
  group.pending = kept
  return { formatId(nextId), entries, deleted }
end
function commands.XPENDING(key, name, ...)
  local group = groupOf(key, name)
  local arguments = { ... }
  if #arguments == 0 then
    if #group.pending == 0 then return { 0, false, false, false } end
    local counts, order = {}, {}
    for _, p in ipairs(group.pending) do
      if not counts[p.consumer] then order[#order + 1] = p.consumer end
      counts[p.consumer] = (counts[p.consumer] or 0) + 1
    end
    table.sort(order)
    local consumers = {}
    for i, consumer in ipairs(order) do consumers[i] = { consumer, format('%d', counts[consumer]) } end
    return { #group.pending, formatId(group.pending[1].id), formatId(group.pending[#group.pending].id), consumers }
  end
  local i, idle = 1, 0
  if arguments[1]:upper() == 'IDLE' then idle, i = integer(arguments[2]), 3 end
  local from = arguments[i] == '-' and 0 or parseId(arguments[i])
  local to = arguments[i + 1] == '+' and math.maxinteger or parseId(arguments[i + 1])
  local result, limit, consumer = {}, integer(arguments[i + 2]), arguments[i + 3]
  for _, p in ipairs(group.pending) do
    if #result >= limit then break end
    if p.id >= from and p.id <= to and nowMs - p.atMs >= idle and (not consumer or consumer == p.consumer) then
      result[#result + 1] = { formatId(p.id), p.consumer, nowMs - p.atMs, p.count }
    end
  end
  return result
end

-- Scripts --------------------------------------------------------------------------------------------------------------

local function find(name)
  local command = commands[name] or commands[name:upper()]
  if not command then fail("ERR unknown command '" .. name .. "'") end
  return command
end
local function execute(name, ...) return find(name)(...) end

-- Without a table: this is what a simulation does most.
local function texts(first, ...)
  if first == nil then return end
  if type(first) ~= 'string' then first = text(first) end
  if select('#', ...) == 0 then return first end
  return first, texts(...)
end

-- What redis.call gives a script: nil is false, and lists keep false for a missing member.
local function call(name, ...) return find(name)(texts(...)) end
local function protectedCall(name, ...)
  local done, result = pcall(call, name, ...)
  if done then return result end
  if getmetatable(result) == failure then return { err = result.message } end
  return { err = tostring(result) }
end

local redisForScripts = {
  call = call,
  pcall = protectedCall,
  error_reply = function(message) return { err = message } end,
  status_reply = function(message) return { ok = message } end,
  log = function() end, LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  setresp = function() end,
}
-- The order in which Lua walks a table depends on its memory; here it must not.
local function sortedPairs(map)
  local keys = {}
  for key in next, map do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if type(a) == type(b) then return a < b end
    return type(a) == 'number'
  end)
  local i = 0
  return function()
    i = i + 1
    return keys[i], map[keys[i]]
  end
end
local library = {
  redis = redisForScripts, string = string, table = table, math = { floor = floor, ceil = math.ceil, min = math.min,
  max = math.max, abs = math.abs, huge = math.huge, fmod = math.fmod }, tonumber = tonumber, tostring = tostring, type = type,
  ipairs = ipairs, pairs = sortedPairs, next = next, select = select, error = error, pcall = pcall, assert = assert,
  unpack = table.unpack, setmetatable = setmetatable, getmetatable = getmetatable, rawget = rawget, rawset = rawset,
}

local function run(sha, keyCount, ...)
  local script = compiled[sha]
  if not script or not known[sha] then fail('NOSCRIPT No matching script. Please use EVAL.') end
  local arguments = { ... }
  local count = integer(keyCount)
  local keys = { unpack(arguments, 1, count) }
  local argv = { unpack(arguments, count + 1) }
  rawset(script.env, 'KEYS', keys)
  rawset(script.env, 'ARGV', argv)
  local result = script.body()
  if type(result) == 'table' and result.err then fail(result.err) end
  return result
end
commands.EVALSHA = run

-- The reply as text: tokens that end with \1, in the types of RESP2 -----------------------------------------------------

local function encode(value, out)
  local kind = type(value)
  if kind == 'string' then out[#out + 1] = '$' .. value
  elseif kind == 'number' then
    out[#out + 1] = format(':%d', value >= 0 and floor(value) or math.ceil(value))
  elseif kind == 'boolean' then out[#out + 1] = value and ':1' or '_'
  elseif kind == 'table' then
    if value.ok then out[#out + 1] = '+' .. value.ok
    elseif value.err then out[#out + 1] = '-' .. value.err
    else
      local count = 0
      while value[count + 1] ~= nil do count = count + 1 end
      out[#out + 1] = '*' .. format('%d', count)
      for i = 1, count do encode(value[i], out) end
    end
  else out[#out + 1] = '_' end
end

local function split(line)
  local parts, count = {}, 0
  for part in line:gmatch('([^\1]*)\1') do
    count = count + 1
    parts[count] = part
  end
  return parts, count
end

-- The door for JavaScript. `line`: command and arguments, each ended by \1.
function stampede_command(atMs, line)
  nowMs = math.tointeger(atMs)
  commandCount = commandCount + 1
  touched = {}
  local parts, count = split(line)
  local done, result = pcall(execute, unpack(parts, 1, count))
  local out = {}
  if done then encode(result, out)
  elseif getmetatable(result) == failure then out[1] = '-' .. result.message
  else out[1] = '-ERR ' .. tostring(result):gsub('\1', ' ') end
  return concat(out, '\1')
end

-- Compiles a script; it is callable once `stampede_known` was told, as after SCRIPT LOAD.
function stampede_script(sha, name, source)
  if not compiled[sha] then
    local env = setmetatable({}, {
      __index = library,
      __newindex = function(_, key) error('Attempt to modify a readonly table: global ' .. tostring(key), 2) end,
    })
    local body, problem = load(source, '@' .. name, 't', env)
    if not body then error(problem, 0) end
    compiled[sha] = { body = body, env = env }
  end
end
function stampede_known(sha) known[sha] = true end

-- An empty Redis.
function stampede_reset(run, replicas)
  db, expires, undo, touched, commandCount, known = {}, {}, {}, {}, 0, {}
  runId, replica = run, math.tointeger(replicas)
end

-- A new process: scripts are forgotten, and `writes` commands that wrote since `sinceMs`, counted from the last, are too.
-- Returns how many were lost.
function stampede_restart(run, writes, sinceMs)
  local lost, command = 0, nil
  while #undo > 0 do
    local last = undo[#undo]
    if last[1] ~= command then
      if lost >= writes or last[2] < sinceMs then break end
      lost, command = lost + 1, last[1]
    end
    if not last[3] then db[last[4]], expires[last[4]] = last[5], last[6]
    elseif last[5] == nil then mapRemove(last[3], last[4])
    else mapPut(last[3], last[4], last[5]) end
    undo[#undo] = nil
  end
  runId, known = run, {}
  return lost
end

-- Forgets what can no longer be taken back.
function stampede_durable(untilMs)
  local kept = {}
  for _, change in ipairs(undo) do if change[2] >= untilMs then kept[#kept + 1] = change end end
  undo = kept
end

-- Everything of one bucket for the checks of the simulation, whatever process may see it: the hash `sale`, the hash `buyers`,
-- the messages in the outbox, the hashes `transfers` and `received`. `prefix`: of its keys.
function stampede_bucket(_, prefix)
  local function hash(name)
    local value, result = db[prefix .. name], {}
    if value then
      for i, field in ipairs(value.map.keys) do
        result[2 * i - 1] = field
        result[2 * i] = value.map.values[field]
      end
    end
    return result
  end
  local messages, stream = {}, db[prefix .. 'outbox']
  if stream then
    for i, entry in ipairs(stream.entries) do
      for f = 1, #entry.fields, 2 do
        if entry.fields[f] == 'p' then messages[i] = entry.fields[f + 1] end
      end
    end
  end
  local out = {}
  encode({ hash('sale'), hash('buyers'), messages, hash('transfers'), hash('received') }, out)
  return concat(out, '\1')
end
