/** Generated from lua/*.lua by lua/generate.ts. Do not edit. */

export type Script = {
  name: string
  numberOfKeys: number
  numberOfArguments: number
  /** Of `code`, as EVALSHA wants it. */
  sha1: string
  code: string
}

export const accessComplete: Script = {
  name: 'access-complete',
  numberOfKeys: 3,
  numberOfArguments: 1,
  sha1: '2fb8df76329f0d734eb93f0afaa08a154e6b1d4c',
  code: `local complete_key = KEYS[1]
local changes_key = KEYS[2]
local sequence_key = KEYS[3]
local kept = ARGV[1]
if not redis.call('SET', complete_key, '1', 'NX') then
  return 0
end
local sequence = redis.call('INCR', sequence_key)
redis.call('XADD', changes_key, 'MAXLEN', '~', kept, '*', 'sequence', sequence, 'kind', 'complete', 'tenant', '', 'data', '')
return 1`,
}

export const accessCorrect: Script = {
  name: 'access-correct',
  numberOfKeys: 4,
  numberOfArguments: 5,
  sha1: 'ed98d08fcb41ac6b5fa7f9d0eed59fa9ae61a40b',
  code: `local unpack = unpack or table.unpack
local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local corrections_key = KEYS[1]
local ends_key = KEYS[2]
local changes_key = KEYS[3]
local sequence_key = KEYS[4]
local facts = ARGV[1]
local tenant = ARGV[2]
local limit = tonumber(ARGV[3])
local ttl = ARGV[4]
local kept = ARGV[5]
local CLOCK_TOLERANCE = 5000
local now = redis_clock()
local over = redis.call('ZRANGEBYSCORE', ends_key, '-inf', now, 'LIMIT', 0, 1000)
if #over > 0 then
  redis.call('HDEL', corrections_key, unpack(over))
  redis.call('ZREM', ends_key, unpack(over))
end
local entered = {}
local size = redis.call('HLEN', corrections_key)
for field, at, lasts, value in string.gmatch(facts, '([^ \\n]+) (%d+) (%d+) ([^\\n]*)') do
  at = math.min(tonumber(at), now + CLOCK_TOLERANCE)
  local ends = at + tonumber(lasts)
  local known = redis.call('HGET', corrections_key, field)
  local known_at = known and tonumber(string.match(known, '^%d+'))
  if ends > now and not (known_at and known_at >= at) then
    if not known then
      size = size + 1
    end
    entered[#entered + 1] = { field, string.format('%.0f %s', at, value), string.format('%.0f', ends) }
  end
end
if #entered == 0 then
  return 0
end
if size > limit then
  return -1
end
local lines = {}
for i = 1, #entered do
  local field, value, ends = entered[i][1], entered[i][2], entered[i][3]
  redis.call('HSET', corrections_key, field, value)
  redis.call('ZADD', ends_key, ends, field)
  lines[i] = field .. ' ' .. value
end
redis.call('PEXPIRE', corrections_key, ttl)
redis.call('PEXPIRE', ends_key, ttl)
local sequence = redis.call('INCR', sequence_key)
redis.call(
  'XADD', changes_key, 'MAXLEN', '~', kept, '*',
  'sequence', sequence, 'kind', 'correction', 'tenant', tenant, 'data', table.concat(lines, '\\n')
)
return #entered`,
}

export const accessPosition: Script = {
  name: 'access-position',
  numberOfKeys: 3,
  numberOfArguments: 0,
  sha1: 'a174f48fc6d1d7226074f87612c294fa94a21be5',
  code: `local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local function redis_process()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end
local complete_key = KEYS[1]
local changes_key = KEYS[2]
local sequence_key = KEYS[3]
local newest = redis.call('XREVRANGE', changes_key, '+', '-', 'COUNT', 1)
return {
  redis_process(),
  redis.call('GET', sequence_key) or '0',
  newest[1] and newest[1][1] or '0-0',
  string.format('%.0f', redis_clock()),
  redis.call('EXISTS', complete_key),
}`,
}

export const accessPut: Script = {
  name: 'access-put',
  numberOfKeys: 3,
  numberOfArguments: 5,
  sha1: '245ac922bcc9fd3be86c54eabde85c95f855c982',
  code: `local access_key = KEYS[1]
local changes_key = KEYS[2]
local sequence_key = KEYS[3]
local field = ARGV[1]
local version = ARGV[2]
local value = ARGV[3]
local tenant = ARGV[4]
local kept = ARGV[5]
local known = redis.call('HGET', access_key, field .. 'Version')
if known and tonumber(known) >= tonumber(version) then
  return 0
end
redis.call('HSET', access_key, field, value, field .. 'Version', version)
local sequence = redis.call('INCR', sequence_key)
redis.call('XADD', changes_key, 'MAXLEN', '~', kept, '*', 'sequence', sequence, 'kind', field, 'tenant', tenant, 'data', '')
return 1`,
}

export const acknowledgeOutbox: Script = {
  name: 'acknowledge-outbox',
  numberOfKeys: 1,
  numberOfArguments: 3,
  sha1: 'a5b6819fda79ddcd392ff1e24b1f510f6ac1b37a',
  code: `local unpack = unpack or table.unpack
local outbox_key = KEYS[1]
local group = ARGV[1]
local packed = ARGV[2]
local count = tonumber(ARGV[3])
local ids = {}
for id in string.gmatch(packed, '(%d+%-%d+) ?') do
  ids[#ids + 1] = id
end
if #ids ~= count or count < 1 or count > 1000 then
  return -2
end
redis.call('XACK', outbox_key, group, unpack(ids))
return redis.call('XDEL', outbox_key, unpack(ids))`,
}

export const admitPass: Script = {
  name: 'admit-pass',
  numberOfKeys: 4,
  numberOfArguments: 7,
  sha1: 'f85928a105332a5ed32f5983cb2db3ec23981b5a',
  code: `local user_key = KEYS[1]
local device_key = KEYS[2]
local address_key = KEYS[3]
local users_key = KEYS[4]
local window_ms = ARGV[1]
local most_passes = { tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]) }
local most_users = tonumber(ARGV[5])
local kept_ms = ARGV[6]
local user_id = ARGV[7]
local counters = { user_key, device_key, address_key }
for i = 1, 3 do
  if most_passes[i] > 0 and tonumber(redis.call('GET', counters[i]) or '0') >= most_passes[i] then
    return { i, redis.call('PTTL', counters[i]) }
  end
end
if most_users > 0 and redis.call('SISMEMBER', users_key, user_id) == 0 and redis.call('SCARD', users_key) >= most_users then
  return { 4, redis.call('PTTL', users_key) }
end
for i = 1, 3 do
  if most_passes[i] > 0 and redis.call('INCR', counters[i]) == 1 then
    redis.call('PEXPIRE', counters[i], window_ms)
  end
end
if most_users > 0 then
  redis.call('SADD', users_key, user_id)
  redis.call('PEXPIRE', users_key, kept_ms)
end
return { 0, 0 }`,
}

export const confirm: Script = {
  name: 'confirm',
  numberOfKeys: 2,
  numberOfArguments: 2,
  sha1: '99e264a895390bb58c70ae70bb96249324c29270',
  code: `local unpack = unpack or table.unpack
local function parse_orders(packed, count)
  local users, numbers, parsed, size = {}, {}, 0, -1
  for user, number in string.gmatch(packed, '([^ \\n]+) (%w+)\\n?') do
    parsed = parsed + 1
    users[parsed] = user
    numbers[parsed] = number
    size = size + #user + #number + 2
  end
  return users, numbers, parsed == count and size == #packed and count > 0 and count <= 256
end
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
return confirmed`,
}

export const endAlarms: Script = {
  name: 'end-alarms',
  numberOfKeys: 1,
  numberOfArguments: 2,
  sha1: '0dc624137556cac5b5b1e173db37a2490ba5ca40',
  code: `local ringing_key = KEYS[1]
local lease = tonumber(ARGV[1])
local alarms = ARGV[2]
local ended = 0
for alarm in string.gmatch(alarms, '%S+') do
  if tonumber(redis.call('ZSCORE', ringing_key, alarm) or '-1') == lease then
    ended = ended + redis.call('ZREM', ringing_key, alarm)
  end
end
return ended`,
}

export const joinQuota: Script = {
  name: 'join-quota',
  numberOfKeys: 1,
  numberOfArguments: 2,
  sha1: 'b2f6c24709018335fd4bdc9ab7e139ec25b781a3',
  code: `local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local function redis_process()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end
local processes_key = KEYS[1]
local process = ARGV[1]
local ttl = tonumber(ARGV[2])
local now = redis_clock()
if ttl == 0 then
  redis.call('ZREM', processes_key, process)
else
  redis.call('ZADD', processes_key, string.format('%.0f', now), process)
  redis.call('ZREMRANGEBYSCORE', processes_key, '-inf', string.format('%.0f', now - ttl))
  redis.call('PEXPIRE', processes_key, string.format('%.0f', ttl * 10))
end
return { redis.call('ZCARD', processes_key), now, redis_process() }`,
}

export const leaseQuota: Script = {
  name: 'lease-quota',
  numberOfKeys: 1,
  numberOfArguments: 7,
  sha1: '0feb1096daee64aded5d287b3ad388999fe924cf',
  code: `local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local function redis_process()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end
local quota_key = KEYS[1]
local process = ARGV[1]
local sequence = tonumber(ARGV[2])
local held = tonumber(ARGV[3])
local wanted = tonumber(ARGV[4])
local limit = tonumber(ARGV[5])
local processes = tonumber(ARGV[6])
local ttl = ARGV[7]
local GRACE = 3000
local now = redis_clock()
local state = redis.call('HMGET', quota_key, 'total', 'run', 'since', process)
local total = tonumber(state[1] or '0')
local known_sequence, known_held = string.match(state[4] or '0:0', '^(%d+):(%d+)$')
if sequence <= tonumber(known_sequence) then
  return { -1, total, now }
end
local run = redis_process()
local since = tonumber(state[3] or '0')
if state[2] ~= run then
  since = state[2] and now or 0
  redis.call('HSET', quota_key, 'run', run, 'since', string.format('%.0f', since))
end
total = total - tonumber(known_held) + held
local leased = 0
if now - since < GRACE then
  leased = -2
elseif wanted > 0 and total < limit then
  local left = limit - total
  leased = math.min(wanted, left, math.max(1, math.floor(left / (2 * processes))))
end
local granted = math.max(0, leased)
total = total + granted
redis.call(
  'HSET', quota_key,
  'total', string.format('%.0f', total),
  process, string.format('%.0f:%.0f', sequence, held + granted)
)
redis.call('PEXPIRE', quota_key, ttl)
return { leased, total, now }`,
}

export const lockAcquire: Script = {
  name: 'lock-acquire',
  numberOfKeys: 2,
  numberOfArguments: 2,
  sha1: '2894e5f725eb9112b2b293df91274b7247b5641e',
  code: `local lock_key = KEYS[1]
local fence_key = KEYS[2]
local holder = ARGV[1]
local lease = ARGV[2]
if not redis.call('SET', lock_key, holder, 'NX', 'PX', lease) then
  return 0
end
return redis.call('INCR', fence_key)`,
}

export const lockRelease: Script = {
  name: 'lock-release',
  numberOfKeys: 1,
  numberOfArguments: 1,
  sha1: '882acd779704e178bf8dde6365711b978d203045',
  code: `local lock_key = KEYS[1]
local holder = ARGV[1]
if redis.call('GET', lock_key) ~= holder then
  return 0
end
return redis.call('DEL', lock_key)`,
}

export const lockRenew: Script = {
  name: 'lock-renew',
  numberOfKeys: 2,
  numberOfArguments: 3,
  sha1: '33076be092a6a76bcd6baed82a090865c3d66cea',
  code: `local lock_key = KEYS[1]
local fence_key = KEYS[2]
local holder = ARGV[1]
local lease = ARGV[2]
local token = ARGV[3]
if redis.call('GET', lock_key) ~= holder then
  return 0
end
if tonumber(redis.call('GET', fence_key) or '0') < tonumber(token) then
  redis.call('SET', fence_key, token)
end
redis.call('PEXPIRE', lock_key, lease)
return 1`,
}

export const lowerLeft: Script = {
  name: 'lower-left',
  numberOfKeys: 1,
  numberOfArguments: 1,
  sha1: 'e8b3739f4cc46cc3629b44f3e09c0564837dcc56',
  code: `local sale_key = KEYS[1]
local expected = tonumber(ARGV[1])
local left = redis.call('HGET', sale_key, 'left')
if not left then
  return -1
end
local removed = tonumber(left) - math.max(expected, 0)
if removed <= 0 then
  return 0
end
redis.call('HINCRBY', sale_key, 'left', string.format('%d', -removed))
return removed`,
}

export const purchase: Script = {
  name: 'purchase',
  numberOfKeys: 3,
  numberOfArguments: 2,
  sha1: 'e00a1440ae48bc4d6ca6f462faf44389dff0bffe',
  code: `local unpack = unpack or table.unpack
local function redis_process()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end
local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local ENTRY = '([^:,]+):(%d+):(%a):([^,]*)'
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
for user, quantity, number, key, trace in string.gmatch(packed, '([^ \\n]+) (%d+) ([^ \\n]+) ([^ \\n]+) ([^ \\n]+)\\n?') do
  parsed = parsed + 1
  users[parsed] = user
  quantities[parsed] = quantity
  numbers[parsed] = number
  keys[parsed] = key
  traces[parsed] = trace
  size = size + #user + #quantity + #number + #key + #trace + 5
end
if parsed ~= count or size ~= #packed or count < 1 or count > 256 then
  return 'M'
end
local limit = tonumber(sale[5])
local left = tonumber(sale[6])
local left_before = left
local known = redis.call('HMGET', buyers_key, unpack(users))
local changed = {}
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
  redis.call('XADD', outbox_key, '*', 't', string.format('%d', now), 'p', table.concat(messages, '\\n'))
end
local head = string.format('%d %s', left, sale[8])
if accepted == count then
  return head
end
return head .. '\\n' .. table.concat(verdicts, '\\n')`,
}

export const recallAlarms: Script = {
  name: 'recall-alarms',
  numberOfKeys: 2,
  numberOfArguments: 2,
  sha1: '42f64e5016958fbe81f776c39692a63ff5f87ed5',
  code: `local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local function redis_process()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end
local due_key = KEYS[1]
local run_key = KEYS[2]
local tasks = ARGV[1]
local pause = tonumber(ARGV[2])
local run = redis_process()
if redis.call('GET', run_key) == run then
  return 0
end
local at = redis_clock()
for group in string.gmatch(tasks, '[^\\n]+') do
  for task in string.gmatch(group, '%S+') do
    redis.call('ZADD', due_key, string.format('%.0f', at), task)
  end
  at = at + pause
end
redis.call('SET', run_key, run)
return 1`,
}

export const recover: Script = {
  name: 'recover',
  numberOfKeys: 2,
  numberOfArguments: 3,
  sha1: 'dcaa9d3a78f706e593909e2ddef4ade32aff9883',
  code: `local function redis_process()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end
local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local function remember_transfer(forgotten, newest, sequence)
  local ranges = {}
  local function add(first, last)
    if first <= last then
      ranges[#ranges + 1] = string.format('%d-%d', first, last)
    end
  end
  local was_forgotten = sequence > newest
  for first, last in string.gmatch(forgotten, '(%d+)%-(%d+)') do
    first, last = tonumber(first), tonumber(last)
    if first <= sequence and sequence <= last then
      was_forgotten = true
      add(first, sequence - 1)
      add(sequence + 1, last)
    else
      add(first, last)
    end
  end
  if not was_forgotten then
    return nil
  end
  add(newest + 1, sequence - 1)
  local first_kept = math.max(1, #ranges - 255)
  return table.concat(ranges, ',', first_kept), math.max(newest, sequence)
end
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
for sequence, to, amount in string.gmatch(lost, '(%d+) (%d+) (%d+)\\n?') do
  local others, reached = remember_transfer(forgotten, newest, tonumber(sequence))
  if others then
    forgotten, newest, units = others, reached, units + tonumber(amount)
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
return 1`,
}

export const release: Script = {
  name: 'release',
  numberOfKeys: 2,
  numberOfArguments: 2,
  sha1: '98972d25f4022ed8426abf2074839e3b5b2d2535',
  code: `local unpack = unpack or table.unpack
local ENTRY = '([^:,]+):(%d+):(%a):([^,]*)'
local function parse_orders(packed, count)
  local users, numbers, parsed, size = {}, {}, 0, -1
  for user, number in string.gmatch(packed, '([^ \\n]+) (%w+)\\n?') do
    parsed = parsed + 1
    users[parsed] = user
    numbers[parsed] = number
    size = size + #user + #number + 2
  end
  return users, numbers, parsed == count and size == #packed and count > 0 and count <= 256
end
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
return released`,
}

export const resend: Script = {
  name: 'resend',
  numberOfKeys: 3,
  numberOfArguments: 2,
  sha1: '020112d78f9088b862aae1a286057c5d18adc875',
  code: `local unpack = unpack or table.unpack
local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local ENTRY = '([^:,]+):(%d+):(%a):([^,]*)'
local function parse_orders(packed, count)
  local users, numbers, parsed, size = {}, {}, 0, -1
  for user, number in string.gmatch(packed, '([^ \\n]+) (%w+)\\n?') do
    parsed = parsed + 1
    users[parsed] = user
    numbers[parsed] = number
    size = size + #user + #number + 2
  end
  return users, numbers, parsed == count and size == #packed and count > 0 and count <= 256
end
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
  redis.call('XADD', outbox_key, '*', 't', string.format('%d', redis_clock()), 'p', table.concat(messages, '\\n'))
end
return #messages`,
}

export const restoreTransfer: Script = {
  name: 'restore-transfer',
  numberOfKeys: 2,
  numberOfArguments: 3,
  sha1: '230df6e68e7f84ef055eab22a0f0a2beb5349466',
  code: `local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local function remember_transfer(forgotten, newest, sequence)
  local ranges = {}
  local function add(first, last)
    if first <= last then
      ranges[#ranges + 1] = string.format('%d-%d', first, last)
    end
  end
  local was_forgotten = sequence > newest
  for first, last in string.gmatch(forgotten, '(%d+)%-(%d+)') do
    first, last = tonumber(first), tonumber(last)
    if first <= sequence and sequence <= last then
      was_forgotten = true
      add(first, sequence - 1)
      add(sequence + 1, last)
    else
      add(first, last)
    end
  end
  if not was_forgotten then
    return nil
  end
  add(newest + 1, sequence - 1)
  local first_kept = math.max(1, #ranges - 255)
  return table.concat(ranges, ',', first_kept), math.max(newest, sequence)
end
local sale_key = KEYS[1]
local transfers_key = KEYS[2]
local sequence = tonumber(ARGV[1])
local to = ARGV[2]
local units = tonumber(ARGV[3])
local sale = redis.call('HMGET', sale_key, 'transfers', 'forgotten')
if not sale[1] then
  return -1
end
local forgotten, newest = remember_transfer(sale[2] or '', tonumber(sale[1]), sequence)
if not forgotten then
  return 0
end
redis.call('HSET', sale_key, 'transfers', string.format('%d', newest), 'forgotten', forgotten)
redis.call('HINCRBY', sale_key, 'left', string.format('%d', -units))
redis.call('HINCRBY', sale_key, 'sent', string.format('%d', units))
redis.call('HSET', transfers_key, string.format('%d', sequence), string.format('%s:%d:%d', to, units, redis_clock()))
return 1`,
}

export const restore: Script = {
  name: 'restore',
  numberOfKeys: 3,
  numberOfArguments: 3,
  sha1: '9e83f4cd16d936ad1d4a7d4b5082960e714ad005',
  code: `local unpack = unpack or table.unpack
local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local ENTRY = '([^:,]+):(%d+):(%a):([^,]*)'
local sale_key = KEYS[1]
local buyers_key = KEYS[2]
local outbox_key = KEYS[3]
local packed = ARGV[1]
local count = tonumber(ARGV[2])
local resend = ARGV[3] == '1'
local users, quantities, numbers, keys, parsed, size = {}, {}, {}, {}, 0, -1
for user, quantity, number, key in string.gmatch(packed, '([^ \\n]+) (%d+) ([^ \\n]+) ([^ \\n]+)\\n?') do
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
    redis.call('XADD', outbox_key, '*', 't', string.format('%d', redis_clock()), 'p', table.concat(messages, '\\n'))
  end
end
return restored`,
}

export const setState: Script = {
  name: 'set-state',
  numberOfKeys: 1,
  numberOfArguments: 2,
  sha1: '6533f1e9de8bad3d11897f956b1bbdecaf7492e3',
  code: `local sale_key = KEYS[1]
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
return 1`,
}

export const snapshot: Script = {
  name: 'snapshot',
  numberOfKeys: 2,
  numberOfArguments: 0,
  sha1: 'a2955eb27e4a7c4097095669e14388ac528a33af',
  code: `local function redis_process()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end
local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local sale_key = KEYS[1]
local outbox_key = KEYS[2]
local sale = redis.call(
  'HMGET', sale_key,
  'state', 'total', 'left', 'sold', 'confirmed', 'limit', 'buckets', 'startsAt', 'endsAt', 'version', 'received', 'sent',
  'recoveries', 'run'
)
if not sale[1] then
  return ''
end
local whole = sale[14] == redis_process() and 1 or 0
return string.format(
  '%s %d %s %s %s %s %s %s %s %s %d %s %s %s %s %d',
  sale[1], redis_clock(), sale[2], sale[3], sale[4], sale[5], sale[6], sale[7], sale[8], sale[9],
  redis.call('XLEN', outbox_key), sale[10], sale[11], sale[12], sale[13], whole
)`,
}

export const takeAlarms: Script = {
  name: 'take-alarms',
  numberOfKeys: 3,
  numberOfArguments: 2,
  sha1: 'a1af800c390bc57b98b4f0c229a9ed0c9bd8cb39',
  code: `local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local function redis_process()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end
local due_key = KEYS[1]
local ringing_key = KEYS[2]
local run_key = KEYS[3]
local limit = tonumber(ARGV[1])
local lease = tonumber(ARGV[2])
local now = redis_clock()
local now_text = string.format('%.0f', now)
local leased_until = string.format('%.0f', now + lease)
local reply = { redis.call('GET', run_key) == redis_process() and 1 or 0, leased_until }
local function take(alarms)
  for index = 1, #alarms do
    redis.call('ZREM', due_key, alarms[index])
    redis.call('ZADD', ringing_key, leased_until, alarms[index])
    reply[#reply + 1] = alarms[index]
  end
end
local given_up = redis.call('ZRANGEBYSCORE', ringing_key, '-inf', now_text, 'LIMIT', 0, limit)
take(given_up)
if #given_up < limit then
  take(redis.call('ZRANGEBYSCORE', due_key, '-inf', now_text, 'LIMIT', 0, limit - #given_up))
end
return reply`,
}

export const takeTokens: Script = {
  name: 'take-tokens',
  numberOfKeys: 0,
  numberOfArguments: 2,
  sha1: '6caae3838ceb15a2aa0ecd24a9b3d2a36660847c',
  code: `local unpack = unpack or table.unpack
local terms = ARGV[1]
local requests = ARGV[2]
local time = redis.call('TIME')
local now = (tonumber(time[1]) - 1767225600) * 1000000 + tonumber(time[2])
local stored = redis.call('MGET', unpack(KEYS))
local interval, depth, full_at, before = {}, {}, {}, {}
local count = 0
for between, burst in string.gmatch(terms, '(%S+) (%d+)\\n?') do
  count = count + 1
  interval[count] = tonumber(between)
  depth[count] = interval[count] * tonumber(burst)
  local at = tonumber(stored[count] or '0')
  if at < now then
    at = now
  elseif at > now + depth[count] then
    at = now + depth[count]
  end
  before[count] = at
  full_at[count] = at
end
local verdicts, asked = {}, 0
for line in string.gmatch(requests, '[^\\n]+') do
  local refused = 0
  for number in string.gmatch(line, '%d+') do
    local key = tonumber(number)
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
    redis.call('SET', KEYS[key], full[key], 'PX', string.format('%d', math.floor((full_at[key] - now) * 0.001) + 1000))
  end
end
return string.format('%.0f', now) .. '\\n' .. table.concat(full, ' ') .. '\\n' .. table.concat(verdicts, ' ')`,
}

export const transferDone: Script = {
  name: 'transfer-done',
  numberOfKeys: 1,
  numberOfArguments: 2,
  sha1: 'a3ec79270395f8ba4f64daa6a1e4233224789f4c',
  code: `local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local transfers_key = KEYS[1]
local sequence = ARGV[1]
local minimum_age = tonumber(ARGV[2])
local transfer = redis.call('HGET', transfers_key, sequence)
if not transfer then
  return 0
end
local begun = tonumber(string.match(transfer, ':(%d+)$'))
if redis_clock() - begun < minimum_age then
  return 0
end
return redis.call('HDEL', transfers_key, sequence)`,
}

export const transferIn: Script = {
  name: 'transfer-in',
  numberOfKeys: 2,
  numberOfArguments: 2,
  sha1: '686a46bf971df995d188cfdcbd3f2ad403da6b05',
  code: `local sale_key = KEYS[1]
local received_key = KEYS[2]
local transfer = ARGV[1]
local units = ARGV[2]
if redis.call('EXISTS', sale_key) == 0 then
  return -1
end
if redis.call('HSETNX', received_key, transfer, units) == 0 then
  return 0
end
redis.call('HINCRBY', sale_key, 'left', units)
redis.call('HINCRBY', sale_key, 'received', units)
redis.call('HINCRBY', sale_key, 'version', '1')
return 1`,
}

export const transferOut: Script = {
  name: 'transfer-out',
  numberOfKeys: 2,
  numberOfArguments: 2,
  sha1: '3e900f80607ccac39556426b923620eb8cc26ebc',
  code: `local function redis_process()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end
local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local sale_key = KEYS[1]
local transfers_key = KEYS[2]
local to = ARGV[1]
local needed = tonumber(ARGV[2])
local sale = redis.call('HMGET', sale_key, 'run', 'left', 'recoveries')
if not sale[1] or sale[1] ~= redis_process() then
  return '0'
end
local left = tonumber(sale[2])
local units = math.min(left, math.max(needed, math.floor(left / 2)))
if units < 1 then
  return '0'
end
local sequence = redis.call('HINCRBY', sale_key, 'transfers', '1')
redis.call('HINCRBY', sale_key, 'left', string.format('%d', -units))
redis.call('HINCRBY', sale_key, 'sent', string.format('%d', units))
redis.call('HSET', transfers_key, string.format('%d', sequence), string.format('%s:%d:%d', to, units, redis_clock()))
return string.format('%d %d %s', sequence, units, sale[3])`,
}

export const warmUp: Script = {
  name: 'warm-up',
  numberOfKeys: 1,
  numberOfArguments: 7,
  sha1: 'fd7b076c5d631662e14fbcda86bca4a3fe7381cc',
  code: `local function redis_process()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end
local function redis_clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local sale_key = KEYS[1]
local total = tonumber(ARGV[1])
local left = tonumber(ARGV[2])
local limit = ARGV[3]
local starts_at = ARGV[4]
local ends_at = ARGV[5]
local buckets = ARGV[6]
local state = ARGV[7]
if redis.call('EXISTS', sale_key) == 1 then
  return 0
end
local beginning = state == 'rebuilding' and redis_clock() or 0
redis.call(
  'HSET', sale_key,
  'state', state,
  'startsAt', starts_at,
  'endsAt', ends_at,
  'limit', limit,
  'buckets', buckets,
  'total', string.format('%d', total),
  'left', string.format('%d', left),
  'sold', string.format('%d', total - left),
  'confirmed', '0',
  'received', '0',
  'sent', '0',
  'transfers', string.format('%d', beginning),
  'forgotten', beginning > 0 and string.format('1-%d', beginning) or '',
  'version', '0',
  'recoveries', string.format('%d', beginning),
  'run', redis_process()
)
return 1`,
}
