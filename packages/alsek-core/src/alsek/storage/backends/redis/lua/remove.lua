#!lua flags=allow-oom
-- Delete a message from wherever it is.
--
-- ARGV  1 uuid
--
-- Returns  1 removed,  -1 no such message
-- include: _prelude

local id = ARGV[1]
local rec = tag .. 'm:' .. id
local state = redis.pcall('HGET', rec, 's')
for which = READY, DEAD do redis.call('ZREM', qkey(1, which), id) end
if redis.call('DEL', rec) == 0 then return -1 end
if type(state) == 'string' and string.find('SFVEA', state, 1, true) then return -1 end
return 1
