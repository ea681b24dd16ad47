#!lua flags=allow-oom
-- Make a delayed message ready at once: it joins the end of its priority's line.
--
-- ARGV  1 uuid   2 weight of a priority level
--
-- Returns  1 done,  2 it is ready,  -1 no such message,  -2 it does not wait
-- include: _prelude

check_indexes()
local id = ARGV[1]
local rec = tag .. 'm:' .. id
local h = redis.pcall('HMGET', rec, 's', 'p')
if h.err then return receipt_of(rec) and -2 or -1 end
if not h[1] then return -1 end
if h[1] == 'r' then return 2 end
if h[1] ~= 'd' then return -2 end
unindex(1, id, 'd')
redis.call('HSET', rec, 's', place(1, id, num(h[2]), tonumber(ARGV[2]), clock(), 0))
return 1
