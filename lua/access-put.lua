-- Writes a tenant's state or its roles into the access directory and tells those who follow, unless something as new is there.
--
-- KEYS (3)
--   1  access    hash of the tenant: `tenant` and `roles` (JSON), and the version of each
--   2  changes   stream that every process follows
--   3  sequence  counter of the changes, so that a follower notices one that it missed
-- ARGV (5)
--   1  field     tenant or roles
--   2  version   positive integer
--   3  value     JSON
--   4  tenant    tenant id
--   5  kept      changes that the stream keeps, about
-- Returns an integer.
--   1            written
--   0            this version or a newer one is there; nothing was done
-- Complexity: O(1)

local access_key = KEYS[1]
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
return 1
