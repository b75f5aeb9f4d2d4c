local unpack = unpack or table.unpack -- Redis has Lua 5.1, the simulation Lua 5.4
