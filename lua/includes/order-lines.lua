-- Lines `userId orderNumber` → two lists; the third result is false when the text is not exactly `count` such lines.
local function parse_orders(packed, count)
  local users, numbers, parsed, size = {}, {}, 0, -1
  for user, number in string.gmatch(packed, '([^ \n]+) (%w+)\n?') do
    parsed = parsed + 1
    users[parsed] = user
    numbers[parsed] = number
    size = size + #user + #number + 2
  end
  return users, numbers, parsed == count and size == #packed and count > 0 and count <= 256
end
