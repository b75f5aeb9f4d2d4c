-- Second half of a transfer of units: adds them here, once for each transfer.
--
-- KEYS (2)
--   1  sale      hash: the bucket's terms and counters
--   2  received  hash: `fromBucket:sequence` → units
-- ARGV (2)
--   1  transfer  `fromBucket:sequence`
--   2  units     units
-- Returns an integer.
--   1            added
--   0            was added before
--   -1           no such sale in this bucket
-- Complexity: O(1)

local sale_key = KEYS[1]
local received_key = KEYS[2]
local transfer = ARGV[1]
local units = ARGV[2]

if redis.call('EXISTS', sale_key) == 0 then
  return -1
end
if redis.call('HSETNX', received_key, transfer, units) == 0 then
  return 0
end
redis.call('HINCRBY', sale_key, 'left', units)
redis.call('HINCRBY', sale_key, 'received', units)
redis.call('HINCRBY', sale_key, 'version', '1')
return 1
