-- Creates a bucket of a sale where it does not exist yet. Changes nothing of one that exists.
--
-- KEYS (1)
--   1  sale      hash: the bucket's terms and counters
-- ARGV (7)
--   1  total     units of this bucket
--   2  left      units that may be sold, at most total; the others count as sold
--   3  limit     units for each buyer
--   4  startsAt  milliseconds since the epoch
--   5  endsAt    milliseconds since the epoch
--   6  buckets   number of buckets of the sale
--   7  state     open, paused, closed or rebuilding
-- Returns an integer.
--   1            created
--   0            exists
-- Complexity: O(1)

-- @include redis-process
-- @include redis-clock

local sale_key = KEYS[1]
local total = tonumber(ARGV[1])
local left = tonumber(ARGV[2])
local limit = ARGV[3]
local starts_at = ARGV[4]
local ends_at = ARGV[5]
local buckets = ARGV[6]
local state = ARGV[7]

if redis.call('EXISTS', sale_key) == 1 then
  return 0
end

-- A sale that is made again must not look to a process like the one whose purchases it still remembers: another number of
-- recoveries than it knows makes it restore them. Nor may its transfers get numbers that other buckets have seen; all of those are forgotten.
local beginning = state == 'rebuilding' and redis_clock() or 0

redis.call(
  'HSET', sale_key,
  'state', state,
  'startsAt', starts_at,
  'endsAt', ends_at,
  'limit', limit,
  'buckets', buckets,
  'total', string.format('%d', total),
  'left', string.format('%d', left),
  'sold', string.format('%d', total - left),
  'confirmed', '0',
  'received', '0',
  'sent', '0',
  'transfers', string.format('%d', beginning),
  'forgotten', beginning > 0 and string.format('1-%d', beginning) or '',
  'version', '0',
  'recoveries', string.format('%d', beginning),
  'run', redis_process()
)
return 1
