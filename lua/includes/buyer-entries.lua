-- A buyer's field holds the entries `orderNumber:quantity:status:idempotencyKey`, oldest first, joined by ','.
-- Status: a accepted, c confirmed (the order is stored), x released.
local ENTRY = '([^:,]+):(%d+):(%a):([^,]*)'
