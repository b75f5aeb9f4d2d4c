-- Deletes messages from a bucket's outbox, after Kafka has them: acknowledged and deleted in one step. Were it two, a crash of Redis that
-- forgets only the deletion would leave an entry that nobody reads or claims any more, and the outbox would never be empty again.
--
-- KEYS (1)
--   1  outbox    stream: accepted purchases that Kafka does not have yet
-- ARGV (3)
--   1  group     consumer group of the relay
--   2  ids       ids of the entries, separated by spaces
--   3  count     number of ids, 1 to 1000
-- Returns an integer.
--   ≥ 0          entries that were deleted now
--   -2           malformed; nothing was done
-- Complexity: O(count)

-- @include unpack

local outbox_key = KEYS[1]
local group = ARGV[1]
local packed = ARGV[2]
local count = tonumber(ARGV[3])

local ids = {}
for id in string.gmatch(packed, '(%d+%-%d+) ?') do
  ids[#ids + 1] = id
end
if #ids ~= count or count < 1 or count > 1000 then
  return -2
end

redis.call('XACK', outbox_key, group, unpack(ids))
return redis.call('XDEL', outbox_key, unpack(ids))
