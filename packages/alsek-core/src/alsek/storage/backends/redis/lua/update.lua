#!lua flags=allow-oom
-- Write a message's current fields back without moving it (its priority changes its place in line).
--
-- ARGV  1 uuid   2 token or ""   3 body   4 priority   5 retries   6 exception details or ""   7 weight of a level
--
-- Returns  1 written,  -1 no such message,  -2 lease lost or ended,  -3 revoked
-- include: _prelude

check_indexes()
local id = ARGV[1]
local rec = tag .. 'm:' .. id
local h, code = guard(rec, ARGV[2], 'x')
if not h and code == 2 then h = redis.call('HMGET', rec, 's', 't', 'T', 'k', 'p', 'd', 'a') end
if not h then return code end
local before = num(h[5])
redis.call('HSET', rec, 'b', ARGV[3], 'p', ARGV[4], 'n', ARGV[5])
mark_as_changed(rec)
if ARGV[6] ~= '' then redis.call('HSET', rec, 'e', ARGV[6]) end
if h[1] == 'r' and before ~= tonumber(ARGV[4]) then
  redis.call('ZADD', qkey(1, READY), 'XX', 'INCR', (tonumber(ARGV[4]) - before) * tonumber(ARGV[7]), id)
end
return 1
