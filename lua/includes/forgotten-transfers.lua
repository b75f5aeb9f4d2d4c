-- Which numbers of transfers this bucket does not remember: `forgotten`, ranges `first-last` joined by ',', and every number above
-- `newest`. Returns both as they are when the transfer `sequence` is known again; nil when it was not forgotten.
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
  -- Each restart adds a range and each restored transfer at most one; the oldest are too old for any journal.
  local first_kept = math.max(1, #ranges - 255)
  return table.concat(ranges, ',', first_kept), math.max(newest, sequence)
end
