-- Changes the state of a sale: any state to any other, but closed is final, and a sale that is being rebuilt stays so until the rebuild ends
-- or the sale is closed.
--
-- KEYS (1)
--   1  sale      hash: the bucket's terms and counters
-- ARGV (2)
--   1  state     open, paused, closed or rebuilding
--   2  rebuilt   '1': this ends a rebuild
-- Returns an integer.
--   1            the sale is in this state
--   0            refused: the sale is closed, or being rebuilt
--   -1           no such sale in this bucket
-- Complexity: O(1)

local sale_key = KEYS[1]
local state = ARGV[1]
local rebuilt = ARGV[2] == '1'

local current = redis.call('HGET', sale_key, 'state')
if not current then
  return -1
end
if current == state then
  return 1
end
if current == 'closed' or (current == 'rebuilding' and state ~= 'closed' and not rebuilt) then
  return 0
end

redis.call('HSET', sale_key, 'state', state)
return 1
