-- First half of a transfer again, when this bucket has forgotten it: takes the units and writes the transfer down. Without conditions, once
-- for each number, in every state of the sale: `left` may become negative when the units were sold again since.
--
-- KEYS (2)
--   1  sale      hash: the bucket's terms and counters
--   2  transfers hash: sequence → `toBucket:units:ms`, until the receiver surely has them
-- ARGV (3)
--   1  sequence  of the transfer
--   2  to        number of the receiving bucket
--   3  units     units
-- Returns an integer.
--   1            taken again
--   0            was not forgotten
--   -1           no such sale in this bucket
-- Complexity: O(transfers restored before)

-- @include redis-clock
-- @include forgotten-transfers

local sale_key = KEYS[1]
local transfers_key = KEYS[2]
local sequence = tonumber(ARGV[1])
local to = ARGV[2]
local units = tonumber(ARGV[3])

local sale = redis.call('HMGET', sale_key, 'transfers', 'forgotten')
if not sale[1] then
  return -1
end
local forgotten, newest = remember_transfer(sale[2] or '', tonumber(sale[1]), sequence)
if not forgotten then
  return 0
end
redis.call('HSET', sale_key, 'transfers', string.format('%d', newest), 'forgotten', forgotten)
redis.call('HINCRBY', sale_key, 'left', string.format('%d', -units))
redis.call('HINCRBY', sale_key, 'sent', string.format('%d', units))
redis.call('HSET', transfers_key, string.format('%d', sequence), string.format('%s:%d:%d', to, units, redis_clock()))
return 1
