-- Enters what has become untrue in tokens of a user, and tells those who follow. Newer facts replace older ones; facts that no token
-- can contradict any more are removed, a few each time.
--
-- KEYS (4)
--   1  corrections  hash of the tenant: `user:fact` → `ms value`
--   2  ends         sorted set: the same fields by the ms when they are not needed any more
--   3  changes      stream that every process follows
--   4  sequence     counter of the changes, so that a follower notices one that it missed
-- ARGV (5)
--   1  facts        lines `field ms ttl value`: since when it is so, and how long it matters (ms); the value has no line break
--   2  tenant       tenant id
--   3  limit        facts that a tenant can have at most
--   4  ttl          the longest ttl there is
--   5  kept         changes that the stream keeps, about
-- Returns an integer.
--   ≥ 0             facts that were entered; 0: all of them, or newer ones, are there, or they do not matter any more
--   -1              too many facts of this tenant; nothing was done
-- Complexity: O(facts · log(all facts of the tenant))

-- @include unpack
-- @include redis-clock

local corrections_key = KEYS[1]
local ends_key = KEYS[2]
local changes_key = KEYS[3]
local sequence_key = KEYS[4]
local facts = ARGV[1]
local tenant = ARGV[2]
local limit = tonumber(ARGV[3])
local ttl = ARGV[4]
local kept = ARGV[5]

-- The writer's clock may run ahead: a fact from the future would stand against all newer ones.
local CLOCK_TOLERANCE = 5000

local now = redis_clock()
local over = redis.call('ZRANGEBYSCORE', ends_key, '-inf', now, 'LIMIT', 0, 1000)
if #over > 0 then
  redis.call('HDEL', corrections_key, unpack(over))
  redis.call('ZREM', ends_key, unpack(over))
end

local entered = {}
local size = redis.call('HLEN', corrections_key)
for field, at, lasts, value in string.gmatch(facts, '([^ \n]+) (%d+) (%d+) ([^\n]*)') do
  at = math.min(tonumber(at), now + CLOCK_TOLERANCE)
  local ends = at + tonumber(lasts)
  local known = redis.call('HGET', corrections_key, field)
  local known_at = known and tonumber(string.match(known, '^%d+'))
  if ends > now and not (known_at and known_at >= at) then
    if not known then
      size = size + 1
    end
    entered[#entered + 1] = { field, string.format('%.0f %s', at, value), string.format('%.0f', ends) }
  end
end
if #entered == 0 then
  return 0
end
if size > limit then
  return -1
end

local lines = {}
for i = 1, #entered do
  local field, value, ends = entered[i][1], entered[i][2], entered[i][3]
  redis.call('HSET', corrections_key, field, value)
  redis.call('ZADD', ends_key, ends, field)
  lines[i] = field .. ' ' .. value
end
redis.call('PEXPIRE', corrections_key, ttl)
redis.call('PEXPIRE', ends_key, ttl)
local sequence = redis.call('INCR', sequence_key)
redis.call(
  'XADD', changes_key, 'MAXLEN', '~', kept, '*',
  'sequence', sequence, 'kind', 'correction', 'tenant', tenant, 'data', table.concat(lines, '\n')
)
return #entered
