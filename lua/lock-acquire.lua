-- Takes a lock with a lease, and a fencing token that is greater than all that were given before.
--
-- KEYS (2)
--   1  lock      string: the holder's secret
--   2  fence     string: counter of the fencing tokens; never expires, so that it never goes back
-- ARGV (2)
--   1  holder    secret of the holder
--   2  lease     milliseconds
-- Returns an integer.
--   ≥ 1          taken; the fencing token
--   0            held by another
-- Complexity: O(1)

local lock_key = KEYS[1]
local fence_key = KEYS[2]
local holder = ARGV[1]
local lease = ARGV[2]

if not redis.call('SET', lock_key, holder, 'NX', 'PX', lease) then
  return 0
end
return redis.call('INCR', fence_key)
