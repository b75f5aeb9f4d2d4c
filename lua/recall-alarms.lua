-- Rings every task there is once, because this Redis may have forgotten when they are due: each looks what it has to do, and sets its
-- next alarm. They begin one after the other.
--
-- KEYS (2)
--   1  due       sorted set: alarm → when it is due, ms
--   2  run       string: the Redis process that is known to have all alarms
-- ARGV (2)
--   1  tasks     a line for each group of alarms that begin together, joined by a space
--   2  pause     milliseconds between two groups
-- Returns an integer.
--   1            they are set, and this Redis is known from now on
--   0            it is known already
-- Complexity: O(tasks · log alarms)

-- @include redis-clock
-- @include redis-process

local due_key = KEYS[1]
local run_key = KEYS[2]
local tasks = ARGV[1]
local pause = tonumber(ARGV[2])

local run = redis_process()
if redis.call('GET', run_key) == run then
  return 0
end
local at = redis_clock()
for group in string.gmatch(tasks, '[^\n]+') do
  for task in string.gmatch(group, '%S+') do
    redis.call('ZADD', due_key, string.format('%.0f', at), task)
  end
  at = at + pause
end
redis.call('SET', run_key, run)
return 1
