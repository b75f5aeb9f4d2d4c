-- Makes a sale whole after a restart or failover of Redis. The first call in a new Redis process begins the grace period, in which all
-- processes restore what they know; a call after it ends it. Another restart begins it again.
--
-- KEYS (2)
--   1  sale      hash: the bucket's terms and counters
--   2  transfers hash: sequence → `toBucket:units:ms`, until the receiver surely has them
-- ARGV (3)
--   1  grace     milliseconds
--   2  complete  '1': the caller has looked for lost transfers, they are in ARGV 3; '0': not yet
--   3  lost      lines `sequence toBucket units` of transfers that other buckets received from this one; the ones that this bucket
--                does not remember are taken from it again
-- Returns an integer.
--   1            whole
--   0            in the grace period
--   2            the grace period is over: look for lost transfers and call again with complete = 1
--   -1           no such sale in this bucket
-- New transfers get numbers far above those that may have been forgotten: a process that comes late with one of those must not be
-- taken for knowing a new one.
-- Complexity: O(lost)

-- @include redis-process
-- @include redis-clock
-- @include forgotten-transfers

local sale_key = KEYS[1]
local transfers_key = KEYS[2]
local grace = tonumber(ARGV[1])
local complete = ARGV[2] == '1'
local lost = ARGV[3]

local sale = redis.call('HMGET', sale_key, 'run', 'recoverFrom', 'transfers', 'forgotten')
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

local newest, forgotten, units = tonumber(sale[3]), sale[4] or '', 0
for sequence, to, amount in string.gmatch(lost, '(%d+) (%d+) (%d+)\n?') do
  local others, reached = remember_transfer(forgotten, newest, tonumber(sequence))
  if others then
    forgotten, newest, units = others, reached, units + tonumber(amount)
    -- The receiver may forget them yet.
    redis.call('HSET', transfers_key, sequence, string.format('%s:%s:%d', to, amount, now))
  end
end
if units > 0 then
  redis.call('HINCRBY', sale_key, 'left', string.format('%d', -units))
  redis.call('HINCRBY', sale_key, 'sent', string.format('%d', units))
end
local beginning = newest + 1000000
local gap = string.format('%d-%d', newest + 1, beginning)
redis.call('HSET', sale_key, 'transfers', string.format('%d', beginning))
redis.call('HSET', sale_key, 'forgotten', forgotten == '' and gap or forgotten .. ',' .. gap)
redis.call('HINCRBY', sale_key, 'recoveries', '1')
redis.call('HINCRBY', sale_key, 'version', '1')
redis.call('HSET', sale_key, 'run', run)
redis.call('HDEL', sale_key, 'recoverFrom')
return 1
