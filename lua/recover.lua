-- Makes a sale whole after a restart or failover of Redis. The first call in a new Redis process begins the grace period, in which all
-- processes restore what they know; a call after it ends it. Another restart begins it again.
--
-- KEYS (1)
--   1  sale      hash: the bucket's terms and counters
-- ARGV (3)
--   1  grace     milliseconds
--   2  complete  '1': the caller has looked for lost transfers, they are in ARGV 3; '0': not yet
--   3  lost      lines `sequence units` of transfers that other buckets received from this one; the ones that this bucket does
--                not remember are taken from it again
-- Returns an integer.
--   1            whole
--   0            in the grace period
--   2            the grace period is over: look for lost transfers and call again with complete = 1
--   -1           no such sale in this bucket
-- Complexity: O(lost)

-- @include redis-process
-- @include redis-clock

local sale_key = KEYS[1]
local grace = tonumber(ARGV[1])
local complete = ARGV[2] == '1'
local lost = ARGV[3]

local sale = redis.call('HMGET', sale_key, 'run', 'recoverFrom', 'transfers')
if not sale[1] then
  return -1
end
local run = redis_process()
if sale[1] == run then
  return 1
end
local now = redis_clock()
local since, pending = string.match(sale[2] or '', '(%d+):(%w+)')
if pending ~= run then
  redis.call('HSET', sale_key, 'recoverFrom', string.format('%d:%s', now, run))
  return 0
end
if now - tonumber(since) < grace then
  return 0
end
if not complete then
  return 2
end

local remembered = tonumber(sale[3])
local newest, units = remembered, 0
for sequence, amount in string.gmatch(lost, '(%d+) (%d+)\n?') do
  sequence = tonumber(sequence)
  if sequence > remembered then
    units = units + tonumber(amount)
    newest = math.max(newest, sequence)
  end
end
if units > 0 then
  redis.call('HINCRBY', sale_key, 'left', string.format('%d', -units))
  redis.call('HINCRBY', sale_key, 'sent', string.format('%d', units))
  redis.call('HSET', sale_key, 'transfers', string.format('%d', newest))
end
redis.call('HINCRBY', sale_key, 'recoveries', '1')
redis.call('HINCRBY', sale_key, 'version', '1')
redis.call('HSET', sale_key, 'run', run)
redis.call('HDEL', sale_key, 'recoverFrom')
return 1
