-- Lowers `left` to what the purchases leave, when it is too high. Never raises it: that could sell a unit twice.
--
-- KEYS (1)
--   1  sale      hash: the bucket's terms and counters
-- ARGV (1)
--   1  expected  units that may be left at most
-- Returns an integer.
--   ≥ 0          units removed
--   -1           no such sale in this bucket
-- Complexity: O(1)

local sale_key = KEYS[1]
local expected = tonumber(ARGV[1])

local left = redis.call('HGET', sale_key, 'left')
if not left then
  return -1
end
local removed = tonumber(left) - math.max(expected, 0)
if removed <= 0 then
  return 0
end
redis.call('HINCRBY', sale_key, 'left', string.format('%d', -removed))
return removed
