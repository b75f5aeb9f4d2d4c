-- Decides all purchases of one batch of a bucket in one atomic step, and writes the message to send in the same step.
--
-- KEYS (3)
--   1  sale      hash: the bucket's terms and counters
--   2  buyers    hash: user id → entries
--   3  outbox    stream: accepted purchases that Kafka does not have yet
-- ARGV (2)
--   1  purchases lines `userId quantity orderNumber idempotencyKey traceparent`, '.' for what is missing
--   2  count     number of lines, 1 to 256
-- Returns one string: a code for the whole batch, or `left recoveries` and then, unless all were accepted, a line each.
--   U            no such sale in this bucket
--   R            recovering: another Redis process than the sale knows, or the sale is being rebuilt
--   P            paused
--   C            closed
--   N<ms>        not started; when it starts
--   E            ended
--   M            malformed batch; nothing was done
--   lines: a accepted · r<orderNumber>:<quantity> replayed · d<orderNumber> duplicate · l<remaining> over-limit · s sold-out
--          i<left> insufficient
-- Repeating a batch is safe: an order number that the buyer already has is answered `a` and changes nothing.
-- Complexity: O(count + entries of these buyers)

-- @include unpack
-- @include redis-process
-- @include redis-clock
-- @include buyer-entries

local sale_key = KEYS[1]
local buyers_key = KEYS[2]
local outbox_key = KEYS[3]
local packed = ARGV[1]
local count = tonumber(ARGV[2])

local sale = redis.call('HMGET', sale_key, 'run', 'state', 'startsAt', 'endsAt', 'limit', 'left', 'sold', 'recoveries')
if not sale[1] then
  return 'U'
end
if sale[1] ~= redis_process() or sale[2] == 'rebuilding' then
  return 'R'
end
if sale[2] == 'paused' then
  return 'P'
end
if sale[2] ~= 'open' then
  return 'C'
end
local now = redis_clock()
if now < tonumber(sale[3]) then
  return 'N' .. sale[3]
end
if now >= tonumber(sale[4]) then
  return 'E'
end

local users, quantities, numbers, keys, traces, parsed, size = {}, {}, {}, {}, {}, 0, -1
for user, quantity, number, key, trace in string.gmatch(packed, '([^ \n]+) (%d+) ([^ \n]+) ([^ \n]+) ([^ \n]+)\n?') do
  parsed = parsed + 1
  users[parsed] = user
  quantities[parsed] = quantity
  numbers[parsed] = number
  keys[parsed] = key
  traces[parsed] = trace
  size = size + #user + #quantity + #number + #key + #trace + 5
end
-- Every character belongs to a line: an identifier with a space in it would not.
if parsed ~= count or size ~= #packed or count < 1 or count > 256 then
  return 'M'
end

local limit = tonumber(sale[5])
local left = tonumber(sale[6])
local left_before = left
local known = redis.call('HMGET', buyers_key, unpack(users))
local changed = {} -- buyers who won in this batch; their second press must see the first
local verdicts, fields, messages, accepted = {}, {}, {}, 0

for i = 1, count do
  local user = users[i]
  local entries = changed[user] or known[i]
  local verdict, newest
  local used = 0
  if entries then
    for number, quantity, status, key in string.gmatch(entries, ENTRY) do
      if number == numbers[i] then
        verdict = 'a'
        break
      end
      if key ~= '' and key == keys[i] then
        verdict = 'r' .. number .. ':' .. quantity
        break
      end
      if status ~= 'x' then
        used = used + tonumber(quantity)
        newest = number
      end
    end
  end
  if not verdict then
    local wanted = tonumber(quantities[i])
    local remaining = limit - used
    if remaining < 1 then
      verdict = 'd' .. newest
    elseif wanted > remaining then
      verdict = string.format('l%d', remaining)
    elseif left < 1 then
      verdict = 's'
    elseif wanted > left then
      verdict = string.format('i%d', left)
    else
      verdict = 'a'
      accepted = accepted + 1
      left = left - wanted
      local key = keys[i]
      local entry = numbers[i] .. ':' .. quantities[i] .. ':a:' .. (key == '.' and '' or key)
      if entries then
        entry = entries .. ',' .. entry
      end
      changed[user] = entry
      fields[2 * accepted - 1] = user
      fields[2 * accepted] = entry
      messages[accepted] = user .. ' ' .. quantities[i] .. ' ' .. numbers[i] .. ' ' .. traces[i]
    end
  end
  verdicts[i] = verdict
end

if accepted > 0 then
  redis.call('HSET', buyers_key, unpack(fields))
  local sold = tonumber(sale[7]) + left_before - left
  redis.call('HSET', sale_key, 'left', string.format('%d', left), 'sold', string.format('%d', sold))
  redis.call('XADD', outbox_key, '*', 't', string.format('%d', now), 'p', table.concat(messages, '\n'))
end
local head = string.format('%d %s', left, sale[8])
if accepted == count then
  return head
end
return head .. '\n' .. table.concat(verdicts, '\n')
