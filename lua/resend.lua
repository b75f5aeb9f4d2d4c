-- Puts the messages of live purchases into the outbox again: orders are idempotent by number.
--
-- KEYS (3)
--   1  sale      hash: the bucket's terms and counters
--   2  buyers    hash: user id → entries
--   3  outbox    stream: accepted purchases that Kafka does not have yet
-- ARGV (2)
--   1  orders    lines `userId orderNumber`
--   2  count     number of lines, 1 to 256
-- Returns an integer.
--   ≥ 0          messages written; purchases that are released or not known are left out
--   -1           no such sale in this bucket
--   -2           malformed; nothing was done
-- Complexity: O(count + entries of these buyers)

-- @include unpack
-- @include redis-clock
-- @include buyer-entries
-- @include order-lines

local sale_key = KEYS[1]
local buyers_key = KEYS[2]
local outbox_key = KEYS[3]
local packed = ARGV[1]
local count = tonumber(ARGV[2])

local users, numbers, well_formed = parse_orders(packed, count)
if not well_formed then
  return -2
end
if redis.call('EXISTS', sale_key) == 0 then
  return -1
end

local known = redis.call('HMGET', buyers_key, unpack(users))
local messages = {}
for i = 1, count do
  for number, quantity, status in string.gmatch(known[i] or '', ENTRY) do
    if number == numbers[i] and status ~= 'x' then
      messages[#messages + 1] = users[i] .. ' ' .. quantity .. ' ' .. number .. ' .'
    end
  end
end

if #messages > 0 then
  redis.call('XADD', outbox_key, '*', 't', string.format('%d', redis_clock()), 'p', table.concat(messages, '\n'))
end
return #messages
