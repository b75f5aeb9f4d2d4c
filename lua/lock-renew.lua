-- Makes the lease of a lock longer, if this holder still has it, and raises the counter of the fencing tokens to its token.
-- The latter is for a lock over several nodes: any later majority then contains a node that knows the token.
--
-- KEYS (2)
--   1  lock      string: the holder's secret
--   2  fence     string: counter of the fencing tokens
-- ARGV (3)
--   1  holder    secret of the holder
--   2  lease     milliseconds from now
--   3  token     fencing token of the holder
-- Returns an integer.
--   1            renewed
--   0            the lock is lost
-- Complexity: O(1)

local lock_key = KEYS[1]
local fence_key = KEYS[2]
local holder = ARGV[1]
local lease = ARGV[2]
local token = ARGV[3]

if redis.call('GET', lock_key) ~= holder then
  return 0
end
if tonumber(redis.call('GET', fence_key) or '0') < tonumber(token) then
  redis.call('SET', fence_key, token)
end
redis.call('PEXPIRE', lock_key, lease)
return 1
