#!lua
-- Give a dead letter a new life: ready at once, its counts at zero.
--
-- ARGV  1 uuid   2 weight of a priority level   3 status SUBMITTED
--
-- Returns  1 replayed,  -1 no such message,  -2 not among the dead letters
-- include: _prelude

check_indexes()
local id = ARGV[1]
local rec = tag .. 'm:' .. id
local h = redis.pcall('HMGET', rec, 's', 'T', 'k', 'p', 'b')
if h.err or not h[1] or not h[5] then return -1 end
if h[1] ~= 'x' then return -2 end
unindex(1, id, 'x')
redis.call('HSET', rec, 's', place(1, id, num(h[4]), tonumber(ARGV[2]), clock(), 0), 'n', '0', 'd', '0')
redis.call('HDEL', rec, 'a', 'z', 'x')
mark_as_changed(rec)
tell(1, h[2], id, h[3], ARGV[3], false)
return 1
