-- Gives purchases back: stock and right to buy, once for each order number. Works in every state of the sale.
--
-- KEYS (2)
--   1  sale      hash: the bucket's terms and counters
--   2  buyers    hash: user id → entries
-- ARGV (2)
--   1  orders    lines `userId orderNumber`
--   2  count     number of lines, 1 to 256
-- Returns an integer.
--   ≥ 0          purchases that were released now (0: all were released before, or are not known)
--   -1           no such sale in this bucket
--   -2           malformed; nothing was done
-- Of a buyer's released entries only the newest is kept, so that the field stays small.
-- Complexity: O(count + entries of these buyers)

-- @include unpack
-- @include buyer-entries
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
local changed, fields = {}, {}
local released, units, unconfirmed = 0, 0, 0

for i = 1, count do
  local user = users[i]
  local entries = changed[user] or known[i]
  if entries then
    local kept, tombstone = {}, nil
    for number, quantity, status, key in string.gmatch(entries, ENTRY) do
      if number == numbers[i] then
        if status ~= 'x' then
          tombstone = number .. ':' .. quantity .. ':x:' .. key
          units = units + tonumber(quantity)
          if status == 'c' then
            unconfirmed = unconfirmed + 1
          end
        end
      elseif status ~= 'x' then
        kept[#kept + 1] = number .. ':' .. quantity .. ':' .. status .. ':' .. key
      end
    end
    if tombstone then
      released = released + 1
      kept[#kept + 1] = tombstone
      changed[user] = table.concat(kept, ',')
      fields[#fields + 1] = user
      fields[#fields + 1] = changed[user]
    end
  end
end

if released > 0 then
  redis.call('HSET', buyers_key, unpack(fields))
  redis.call('HINCRBY', sale_key, 'left', string.format('%d', units))
  redis.call('HINCRBY', sale_key, 'sold', string.format('%d', -units))
  if unconfirmed > 0 then
    redis.call('HINCRBY', sale_key, 'confirmed', string.format('%d', -unconfirmed))
  end
  redis.call('HINCRBY', sale_key, 'version', '1')
end
return released
