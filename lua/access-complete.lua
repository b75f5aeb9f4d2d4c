-- Says that every tenant is in the access directory: one that is not does not exist.
--
-- KEYS (3)
--   1  complete  string: exists when every tenant has been written
--   2  changes   stream that every process follows
--   3  sequence  counter of the changes
-- ARGV (1)
--   1  kept      changes that the stream keeps, about
-- Returns an integer.
--   1            said
--   0            it was said before
-- Complexity: O(1)

local complete_key = KEYS[1]
local changes_key = KEYS[2]
local sequence_key = KEYS[3]
local kept = ARGV[1]

if not redis.call('SET', complete_key, '1', 'NX') then
  return 0
end
local sequence = redis.call('INCR', sequence_key)
redis.call('XADD', changes_key, 'MAXLEN', '~', kept, '*', 'sequence', sequence, 'kind', 'complete', 'tenant', '', 'data', '')
return 1
