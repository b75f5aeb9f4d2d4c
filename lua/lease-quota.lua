-- Leases units of a tenant's daily quota to a process. The process says what it holds, not what changed: a call that is repeated, or
-- whose answer was lost, counts once, and a Redis that forgot its last second hears it again with the next call.
--
-- KEYS (1)
--   1  quota      hash of one tenant and day: `total` held by all, `run` and `since` (below), process → `sequence:held`
-- ARGV (7)
--   1  process    who asks; unique for each start of a process
--   2  sequence   counts the calls of the process: one that comes late changes nothing
--   3  held       units that the process has, used or not; fewer than before gives the others back
--   4  wanted     units that it would like to have more
--   5  limit      units of the day for all
--   6  processes  how many share what is left
--   7  ttl        milliseconds until the hash goes
-- Returns three integers.
--   1             ≥ 0 units that were leased now; -1: the call came late, nothing was done; -2: nothing is leased yet, because Redis
--                 restarted and may have forgotten what others hold
--   2             units that all hold now
--   3             Redis' clock, ms
-- Of what is left a process gets at most its half share, so that nobody has the last units alone.
-- Complexity: O(1)

-- @include redis-clock
-- @include redis-process

local quota_key = KEYS[1]
local process = ARGV[1]
local sequence = tonumber(ARGV[2])
local held = tonumber(ARGV[3])
local wanted = tonumber(ARGV[4])
local limit = tonumber(ARGV[5])
local processes = tonumber(ARGV[6])
local ttl = ARGV[7]

-- Time for every process to connect again and to say what it holds.
local GRACE = 3000

local now = redis_clock()
local state = redis.call('HMGET', quota_key, 'total', 'run', 'since', process)
local total = tonumber(state[1] or '0')
local known_sequence, known_held = string.match(state[4] or '0:0', '^(%d+):(%d+)$')
if sequence <= tonumber(known_sequence) then
  return { -1, total, now }
end

local run = redis_process()
local since = tonumber(state[3] or '0')
if state[2] ~= run then
  -- A hash that is new has nothing to have forgotten.
  since = state[2] and now or 0
  redis.call('HSET', quota_key, 'run', run, 'since', string.format('%.0f', since))
end

total = total - tonumber(known_held) + held
local leased = 0
if now - since < GRACE then
  leased = -2
elseif wanted > 0 and total < limit then
  local left = limit - total
  leased = math.min(wanted, left, math.max(1, math.floor(left / (2 * processes))))
end
local granted = math.max(0, leased)
total = total + granted
redis.call(
  'HSET', quota_key,
  'total', string.format('%.0f', total),
  process, string.format('%.0f:%.0f', sequence, held + granted)
)
redis.call('PEXPIRE', quota_key, ttl)
return { leased, total, now }
