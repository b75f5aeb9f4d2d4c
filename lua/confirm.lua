-- Marks purchases whose order is stored. Works in every state of the sale; repeating it changes nothing.
--
-- KEYS (2)
--   1  sale      hash: the bucket's terms and counters
--   2  buyers    hash: user id → entries
-- ARGV (2)
--   1  orders    lines `userId orderNumber`
--   2  count     number of lines, 1 to 256
-- Returns an integer.
--   ≥ 0          purchases that were confirmed now
--   -1           no such sale in this bucket
--   -2           malformed; nothing was done
-- Complexity: O(count + entries of these buyers)

-- @include unpack
-- @include order-lines

local sale_key = KEYS[1]
local buyers_key = KEYS[2]
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
local changed, fields, confirmed = {}, {}, 0

for i = 1, count do
  local user = users[i]
  local entries = changed[user] or known[i]
  if entries then
    -- An order number is letters and digits, nothing that a pattern would interpret; %f is the beginning of it.
    local entry, replaced = string.gsub(entries, '(%f[%w]' .. numbers[i] .. ':%d+:)a', '%1c', 1)
    if replaced == 1 then
      confirmed = confirmed + 1
      changed[user] = entry
      fields[#fields + 1] = user
      fields[#fields + 1] = entry
    end
  end
end

if confirmed > 0 then
  redis.call('HSET', buyers_key, unpack(fields))
  redis.call('HINCRBY', sale_key, 'confirmed', string.format('%d', confirmed))
end
return confirmed
