-- Applies operations again that Redis may have lost with its last second: without conditions (they were decided before), once
-- for each order number, in every state of the sale. `left` may become negative when the units were sold again since.
--
-- KEYS (3)
--   1  sale       hash: the bucket's terms and counters
--   2  buyers     hash: user id → entries
--   3  outbox     stream: accepted purchases that Kafka does not have yet
-- ARGV (3)
--   1  operations lines `userId quantity orderNumber idempotencyKey`, '.' for no key; quantity 0: a release
--   2  count      number of lines, 1 to 256
--   3  resend     '1': the messages of restored purchases go to the outbox again
-- Returns an integer.
--   ≥ 0           operations that were missing and changed the stock
--   -1            no such sale in this bucket
--   -2            malformed; nothing was done
-- A release of a purchase that is not known leaves a tombstone, so that the purchase is not applied when it is restored after its release
-- by another process. For the same reason up to four released entries of a buyer are kept here.
-- Complexity: O(count + entries of these buyers)

-- @include unpack
-- @include redis-clock
-- @include buyer-entries

local sale_key = KEYS[1]
local buyers_key = KEYS[2]
local outbox_key = KEYS[3]
local packed = ARGV[1]
local count = tonumber(ARGV[2])
local resend = ARGV[3] == '1'

local users, quantities, numbers, keys, parsed, size = {}, {}, {}, {}, 0, -1
for user, quantity, number, key in string.gmatch(packed, '([^ \n]+) (%d+) ([^ \n]+) ([^ \n]+)\n?') do
  parsed = parsed + 1
  users[parsed] = user
  quantities[parsed] = tonumber(quantity)
  numbers[parsed] = number
  keys[parsed] = key == '.' and '' or key
  size = size + #user + #quantity + #number + #key + 4
end
if parsed ~= count or size ~= #packed or count < 1 or count > 256 then
  return -2
end
if redis.call('EXISTS', sale_key) == 0 then
  return -1
end

local known = redis.call('HMGET', buyers_key, unpack(users))
local changed, fields, messages = {}, {}, {}
local restored, units, released, unconfirmed = 0, 0, 0, 0

local function without_old_tombstones(entries)
  local kept, tombstones = {}, 0
  for i = #entries, 1, -1 do
    local is_tombstone = string.find(entries[i], ':x:', 1, true)
    if is_tombstone then
      tombstones = tombstones + 1
    end
    if not is_tombstone or tombstones <= 4 then
      table.insert(kept, 1, entries[i])
    end
  end
  return table.concat(kept, ',')
end

for i = 1, count do
  local user = users[i]
  local is_release = quantities[i] == 0
  local entries, found, status_found, quantity_found, key_found = {}, nil, nil, 0, ''
  for number, quantity, status, key in string.gmatch(changed[user] or known[i] or '', ENTRY) do
    entries[#entries + 1] = number .. ':' .. quantity .. ':' .. status .. ':' .. key
    if number == numbers[i] then
      found, status_found, quantity_found, key_found = #entries, status, tonumber(quantity), key
    end
  end
  local missing = true
  if is_release and not found then
    entries[#entries + 1] = numbers[i] .. ':0:x:'
  elseif is_release and status_found ~= 'x' then
    table.remove(entries, found)
    entries[#entries + 1] = string.format('%s:%d:x:%s', numbers[i], quantity_found, key_found)
    units = units - quantity_found
    restored = restored + 1
    released = released + 1
    if status_found == 'c' then
      unconfirmed = unconfirmed + 1
    end
  elseif not is_release and not found then
    entries[#entries + 1] = string.format('%s:%d:a:%s', numbers[i], quantities[i], keys[i])
    units = units + quantities[i]
    restored = restored + 1
    messages[#messages + 1] = string.format('%s %d %s .', user, quantities[i], numbers[i])
  else
    missing = false
  end
  if missing then
    changed[user] = without_old_tombstones(entries)
    fields[#fields + 1] = user
    fields[#fields + 1] = changed[user]
  end
end

if #fields > 0 then
  redis.call('HSET', buyers_key, unpack(fields))
end
if restored > 0 then
  redis.call('HINCRBY', sale_key, 'left', string.format('%d', -units))
  redis.call('HINCRBY', sale_key, 'sold', string.format('%d', units))
  if unconfirmed > 0 then
    redis.call('HINCRBY', sale_key, 'confirmed', string.format('%d', -unconfirmed))
  end
  if released > 0 then
    redis.call('HINCRBY', sale_key, 'version', '1')
  end
  if resend and #messages > 0 then
    redis.call('XADD', outbox_key, '*', 't', string.format('%d', redis_clock()), 'p', table.concat(messages, '\n'))
  end
end
return restored
