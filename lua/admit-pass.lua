-- Counts one more pass of a buyer, unless a limit is reached: then nothing is counted. Time is Redis' own: a window begins with the
-- first pass in it and ends by itself.
--
-- KEYS (4)
--   1  user       string: passes of this user in the window
--   2  device     string: passes for this device in the window
--   3  address    string: passes for this address in the window
--   4  users      set: users of this device in the activity
-- ARGV (7)
--   1  window     length of the window, ms
--   2  by user    most passes in a window; 0: not limited, and the key is not touched
--   3  by device
--   4  by address
--   5  users      most users of the device; 0: not limited
--   6  kept       how long the users of a device are remembered, ms
--   7  user id
-- Returns a list of two integers: which limit is reached, and in how many ms it may be tried again.
--   0 0           counted
--   1 ms          of the user
--   2 ms          of the device
--   3 ms          of the address
--   4 ms          too many users of the device
-- Complexity: O(1)

local user_key = KEYS[1]
local device_key = KEYS[2]
local address_key = KEYS[3]
local users_key = KEYS[4]
local window_ms = ARGV[1]
local most_passes = { tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]) }
local most_users = tonumber(ARGV[5])
local kept_ms = ARGV[6]
local user_id = ARGV[7]

local counters = { user_key, device_key, address_key }
for i = 1, 3 do
  if most_passes[i] > 0 and tonumber(redis.call('GET', counters[i]) or '0') >= most_passes[i] then
    return { i, redis.call('PTTL', counters[i]) }
  end
end
if most_users > 0 and redis.call('SISMEMBER', users_key, user_id) == 0 and redis.call('SCARD', users_key) >= most_users then
  return { 4, redis.call('PTTL', users_key) }
end

for i = 1, 3 do
  if most_passes[i] > 0 and redis.call('INCR', counters[i]) == 1 then
    redis.call('PEXPIRE', counters[i], window_ms)
  end
end
if most_users > 0 then
  redis.call('SADD', users_key, user_id)
  redis.call('PEXPIRE', users_key, kept_ms)
end
return { 0, 0 }
