-- Takes alarms that are due, and those that somebody took and never told to have rung. They are leased: until then nobody else gets
-- them, and after that anybody.
--
-- KEYS (3)
--   1  due       sorted set: alarm → when it is due, ms
--   2  ringing   sorted set: alarm that was taken → until when it is leased, ms
--   3  run       string: the Redis process that is known to have all alarms
-- ARGV (2)
--   1  limit     alarms at most
--   2  lease     milliseconds
-- Returns an integer, a text, and the alarms in the order they were due.
--   1            1: this Redis has what was ever set; 0: it was restarted, and may have forgotten alarms
--   2            until when the alarms are leased, ms: whoever has rung them shows it
--   3            alarm
--   *            …
-- "Due" is by Redis' clock: all who ring agree about it.
-- Complexity: O(limit · log alarms)

-- @include redis-clock
-- @include redis-process

local due_key = KEYS[1]
local ringing_key = KEYS[2]
local run_key = KEYS[3]
local limit = tonumber(ARGV[1])
local lease = tonumber(ARGV[2])

local now = redis_clock()
local now_text = string.format('%.0f', now)
local leased_until = string.format('%.0f', now + lease)
local reply = { redis.call('GET', run_key) == redis_process() and 1 or 0, leased_until }

local function take(alarms)
  for index = 1, #alarms do
    redis.call('ZREM', due_key, alarms[index])
    redis.call('ZADD', ringing_key, leased_until, alarms[index])
    reply[#reply + 1] = alarms[index]
  end
end

-- A lease that has ended first: it has waited longer.
local given_up = redis.call('ZRANGEBYSCORE', ringing_key, '-inf', now_text, 'LIMIT', 0, limit)
take(given_up)
if #given_up < limit then
  take(redis.call('ZRANGEBYSCORE', due_key, '-inf', now_text, 'LIMIT', 0, limit - #given_up))
end
return reply
