#!lua flags=allow-oom
-- Give a waiting message another priority, and with it another place in the line.
--
-- ARGV  1 uuid   2 priority   3 weight of a priority level
--
-- Returns  1 done,  2 it has this priority,  -1 no such message,  -2 it does not wait
-- include: _prelude

check_indexes()
local id = ARGV[1]
local rec = tag .. 'm:' .. id
local h = redis.pcall('HMGET', rec, 's', 'p')
if h.err then return receipt_of(rec) and -2 or -1 end
if not h[1] then return -1 end
if h[1] ~= 'r' and h[1] ~= 'd' then return -2 end
local before, wanted = num(h[2]), tonumber(ARGV[2])
if before == wanted then return 2 end
redis.call('HSET', rec, 'p', ARGV[2])
if h[1] == 'r' then
  redis.call('ZADD', qkey(1, READY), 'XX', 'INCR', (wanted - before) * tonumber(ARGV[3]), id)
end
return 1
