-- Reads a bucket's counters at one moment.
--
-- KEYS (2)
--   1  sale      hash: the bucket's terms and counters
--   2  outbox    stream: accepted purchases that Kafka does not have yet
-- ARGV (0)
-- Returns one string.
--   (empty)      no such sale in this bucket
--   state now total left sold confirmed limit buckets startsAt endsAt outboxLength version received sent recoveries whole
--                separated by spaces; whole is 1 when this Redis process is the one the sale knows, else 0
-- Complexity: O(1)

-- @include redis-process
-- @include redis-clock

local sale_key = KEYS[1]
local outbox_key = KEYS[2]

local sale = redis.call(
  'HMGET', sale_key,
  'state', 'total', 'left', 'sold', 'confirmed', 'limit', 'buckets', 'startsAt', 'endsAt', 'version', 'received', 'sent',
  'recoveries', 'run'
)
if not sale[1] then
  return ''
end
local whole = sale[14] == redis_process() and 1 or 0
return string.format(
  '%s %d %s %s %s %s %s %s %s %s %d %s %s %s %s %d',
  sale[1], redis_clock(), sale[2], sale[3], sale[4], sale[5], sale[6], sale[7], sale[8], sale[9],
  redis.call('XLEN', outbox_key), sale[10], sale[11], sale[12], sale[13], whole
)
