-- Alarms have rung: they are forgotten, unless somebody else took them meanwhile.
--
-- KEYS (1)
--   1  ringing   sorted set: alarm that was taken → until when it is leased, ms
-- ARGV (2)
--   1  lease     until when they are leased, as `take-alarms` answered it
--   2  alarms    joined by a space
-- Returns an integer.
--   ≥ 0          alarms that were forgotten
-- An alarm that was set again since it was taken is due again, and stays.
-- Complexity: O(alarms · log ringing)

local ringing_key = KEYS[1]
local lease = tonumber(ARGV[1])
local alarms = ARGV[2]

local ended = 0
for alarm in string.gmatch(alarms, '%S+') do
  if tonumber(redis.call('ZSCORE', ringing_key, alarm) or '-1') == lease then
    ended = ended + redis.call('ZREM', ringing_key, alarm)
  end
end
return ended
