-- Decides about all requests of one batch by the token buckets that each of them needs, in one atomic step. A bucket is one number:
-- the moment at which it is full again (generic cell rate algorithm, which admits exactly what a token bucket admits).
--
-- KEYS (0)
--   *  buckets   string each, gone when the bucket is full: when it is, in microseconds of 2026 and later by Redis' clock; as many keys
--                as there are buckets, all with one hash tag
-- ARGV (2)
--   1  terms     for each key a line `interval burst`: microseconds between two tokens, and the tokens of a full bucket
--   2  requests  for each request a line of numbers of keys (1 is the first), joined by a space: it takes one token of each, or none
-- Returns one string of three lines.
--   Redis' time in microseconds of 2026 and later
--   for each key when its bucket is full again, joined by a space
--   for each request 0 when it took its tokens, else the number of the key that had none, joined by a space
-- Repeating a batch takes tokens again.
-- Complexity: O(keys + requests)

-- @include unpack

local terms = ARGV[1]
local requests = ARGV[2]

local time = redis.call('TIME')
local now = (tonumber(time[1]) - 1767225600) * 1000000 + tonumber(time[2])

local stored = redis.call('MGET', unpack(KEYS))
local interval, depth, full_at, before = {}, {}, {}, {}
local count = 0
for between, burst in string.gmatch(terms, '(%S+) (%d+)\n?') do
  count = count + 1
  interval[count] = tonumber(between)
  depth[count] = interval[count] * tonumber(burst)
  local at = tonumber(stored[count] or '0')
  if at < now then
    at = now
  elseif at > now + depth[count] then
    -- The clock went back, or the bucket was larger before: it is empty, and no more than that.
    at = now + depth[count]
  end
  before[count] = at
  full_at[count] = at
end

local verdicts, asked = {}, 0
for line in string.gmatch(requests, '[^\n]+') do
  local refused = 0
  for number in string.gmatch(line, '%d+') do
    local key = tonumber(number)
    -- A hundredth of a microsecond for what adding fractions leaves.
    if refused == 0 and full_at[key] + interval[key] > now + depth[key] + 0.01 then
      refused = key
    end
  end
  if refused == 0 then
    for number in string.gmatch(line, '%d+') do
      local key = tonumber(number)
      full_at[key] = full_at[key] + interval[key]
    end
  end
  asked = asked + 1
  verdicts[asked] = string.format('%d', refused)
end

local full = {}
for key = 1, count do
  full[key] = string.format('%.3f', full_at[key])
  if full_at[key] > before[key] then
    -- A second longer than needed, for the clock of the expiry.
    redis.call('SET', KEYS[key], full[key], 'PX', string.format('%d', math.floor((full_at[key] - now) * 0.001) + 1000))
  end
end
return string.format('%.0f', now) .. '\n' .. table.concat(full, ' ') .. '\n' .. table.concat(verdicts, ' ')
