-- Gives a lock back, if this holder still has it.
--
-- KEYS (1)
--   1  lock      string: the holder's secret
-- ARGV (1)
--   1  holder    secret of the holder
-- Returns an integer.
--   1            released
--   0            another has it by now, or nobody
-- Complexity: O(1)

local lock_key = KEYS[1]
local holder = ARGV[1]

if redis.call('GET', lock_key) ~= holder then
  return 0
end
return redis.call('DEL', lock_key)
