-- wrk script: POSTs to one path with headers and a body from a file, one line for each request:
-- `pass<TAB>device<TAB>body`, empty device: no such header. Threads take turns through the lines; when they run out, wrk begins again.
-- Arguments: path of the file, path of the request, number of threads, requests a second of all threads (0: as fast as they can).

local ffi = require('ffi')
ffi.cdef('typedef struct { long seconds, microseconds; } timeval; int gettimeofday(timeval *now, void *zone);')
local clock = ffi.new('timeval')
local function now_ms()
  ffi.C.gettimeofday(clock, nil)
  return tonumber(clock.seconds) * 1000 + tonumber(clock.microseconds) / 1000
end

local counter = 0
function setup(thread)
  thread:set('number', counter)
  counter = counter + 1
end

function init(arguments)
  local threads = tonumber(arguments[3])
  heads = {}
  local index = 0
  for line in io.lines(arguments[1]) do
    if index % threads == number then
      local pass, device, body = string.match(line, '^([^\t]*)\t([^\t]*)\t(.*)$')
      local extra = ''
      if device ~= '' then
        extra = 'stampede-device: ' .. device .. '\r\n'
      end
      heads[#heads + 1] = 'stampede-pass: ' .. pass .. '\r\n' .. extra .. 'content-length: ' .. #body .. '\r\n\r\n' .. body
    end
    index = index + 1
  end
  start = 'POST ' .. arguments[2] .. ' HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n'
  at = 0
  total = #heads
  local per_second = tonumber(arguments[4]) / threads
  if per_second > 0 then
    pace(per_second)
  end
end

-- Requests have their times, whoever of the connections is free then: a slow answer makes nobody ask less.
function pace(per_second)
  local next_ms = now_ms()
  function delay()
    local now = now_ms()
    next_ms = math.max(next_ms, now - 1000) + 1000 / per_second
    return math.max(0, math.floor(next_ms - now))
  end
end

function request()
  at = at + 1
  if at > total then
    at = 1
  end
  return start .. heads[at]
end

-- One line that a program reads; latencies in microseconds.
function done(summary, latency, requests)
  io.write(string.format(
    'FIGURES requests=%d durationMicros=%d p50=%d p95=%d p99=%d max=%d failed=%d not2xx=%d\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(95), latency:percentile(99), latency.max,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout, summary.errors.status
  ))
end
