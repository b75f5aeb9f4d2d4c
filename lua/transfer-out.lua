-- First half of a transfer of units to another bucket: takes them here and writes the transfer down.
--
-- KEYS (2)
--   1  sale      hash: the bucket's terms and counters
--   2  transfers hash: sequence → `toBucket:units:ms`, until the receiver surely has them
-- ARGV (2)
--   1  to        number of the receiving bucket
--   2  needed    units that are needed there
-- Returns one string.
--   0            nothing to take, no such sale, or not whole: transfers must not begin before the sale is recovered, because the
--                recovery finds lost ones by their sequence
--   sequence units recoveries
-- Takes half of what is left but at least `needed`, so that few transfers are needed. Not idempotent: a transfer that nobody
-- knows of stays written down and is finished by finishTransfers.
-- Complexity: O(1)

-- @include redis-process
-- @include redis-clock

local sale_key = KEYS[1]
local transfers_key = KEYS[2]
local to = ARGV[1]
local needed = tonumber(ARGV[2])

local sale = redis.call('HMGET', sale_key, 'run', 'left', 'recoveries')
if not sale[1] or sale[1] ~= redis_process() then
  return '0'
end
local left = tonumber(sale[2])
local units = math.min(left, math.max(needed, math.floor(left / 2)))
if units < 1 then
  return '0'
end

local sequence = redis.call('HINCRBY', sale_key, 'transfers', '1')
redis.call('HINCRBY', sale_key, 'left', string.format('%d', -units))
redis.call('HINCRBY', sale_key, 'sent', string.format('%d', units))
redis.call('HSET', transfers_key, string.format('%d', sequence), string.format('%s:%d:%d', to, units, redis_clock()))
return string.format('%d %d %s', sequence, units, sale[3])
