-- Forgets a transfer that the receiver has, when it is so old that the receiver cannot lose it any more with its last second.
--
-- KEYS (1)
--   1  transfers hash: sequence → `toBucket:units:ms`
-- ARGV (2)
--   1  sequence  of the transfer
--   2  minimumAge milliseconds
-- Returns an integer.
--   1            forgotten
--   0            too young, or not known
-- Complexity: O(1)

-- @include redis-clock

local transfers_key = KEYS[1]
local sequence = ARGV[1]
local minimum_age = tonumber(ARGV[2])

local transfer = redis.call('HGET', transfers_key, sequence)
if not transfer then
  return 0
end
local begun = tonumber(string.match(transfer, ':(%d+)$'))
if redis_clock() - begun < minimum_age then
  return 0
end
return redis.call('HDEL', transfers_key, sequence)
