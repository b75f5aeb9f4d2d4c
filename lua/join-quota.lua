-- Counts the processes that share the quotas of tenants: each says again and again that it is there.
--
-- KEYS (1)
--   1  processes  sorted set: process → ms when it was there last
-- ARGV (2)
--   1  process    who asks
--   2  ttl        milliseconds after which a process that said nothing is not counted; 0: this one leaves
-- Returns two integers and a text.
--   1             processes that are there
--   2             Redis' clock, ms
--   3             id of the Redis process
-- Complexity: O(log processes)

-- @include redis-clock
-- @include redis-process

local processes_key = KEYS[1]
local process = ARGV[1]
local ttl = tonumber(ARGV[2])

local now = redis_clock()
if ttl == 0 then
  redis.call('ZREM', processes_key, process)
else
  redis.call('ZADD', processes_key, string.format('%.0f', now), process)
  redis.call('ZREMRANGEBYSCORE', processes_key, '-inf', string.format('%.0f', now - ttl))
  redis.call('PEXPIRE', processes_key, string.format('%.0f', ttl * 10))
end
return { redis.call('ZCARD', processes_key), now, redis_process() }
