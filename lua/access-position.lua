-- Where the access directory stands: what a follower begins from, and what tells it that it missed something.
--
-- KEYS (3)
--   1  complete  string: exists when every tenant has been written
--   2  changes   stream that every process follows
--   3  sequence  counter of the changes
-- ARGV (0)
-- Returns four texts and an integer.
--   1            id of the Redis process
--   2            sequence of the newest change, 0 when there is none
--   3            id of the newest change in the stream, 0-0 when there is none
--   4            Redis' clock, ms
--   5            1: the directory is complete; 0: it is not
-- Complexity: O(1)

-- @include redis-clock
-- @include redis-process

local complete_key = KEYS[1]
local changes_key = KEYS[2]
local sequence_key = KEYS[3]

local newest = redis.call('XREVRANGE', changes_key, '+', '-', 'COUNT', 1)
return {
  redis_process(),
  redis.call('GET', sequence_key) or '0',
  newest[1] and newest[1][1] or '0-0',
  string.format('%.0f', redis_clock()),
  redis.call('EXISTS', complete_key),
}
