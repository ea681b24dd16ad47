#!lua
-- Submit a message of a schedule at once, whatever its trigger says; its next fire stays as it is.
--
-- ARGV  1 id   2 version it was read with   3 "1" when an earlier, unanswered call may have done it
--       4 weight of a priority level   5 status text of SUBMITTED
--       6 uuid   7 task   8 body   9 priority   10 delay ms   11 ttl ms or ""   12 ms to keep the status or ""
--
-- Returns {code, now}: 1 submitted,  2 by the earlier call,  -1 no such schedule,  -2 changed by somebody else
-- include: _prelude
-- include: _schedules

local key, uuid = skey(ARGV[1]), ARGV[6]
local now = clock()
check_indexes()
redis.call('SCARD', tag .. 'queues')
local h = redis.call('HMGET', key, 'v', 'L')
local rec = tag .. 'm:' .. uuid
if ARGV[3] == '1' and redis.call('EXISTS', rec) == 1 then return {2, now} end
if not h[1] then return {-1, now} end
if h[1] ~= ARGV[2] then return {-2, now} end

redis.call('SADD', tag .. 'queues', qname(1))
create(1, rec, uuid, ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], tonumber(ARGV[4]), now, ARGV[5])
-- A forerunner that still runs stays the one that the overlap policy looks at.
if not alive(h[2]) then redis.call('HSET', key, 'L', uuid) end
redis.call('HSET', key, 'z', now)
redis.call('HINCRBY', key, 'y', 1)
write_tallies(now)
return {1, now}
