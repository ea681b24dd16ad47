#!lua flags=allow-oom
-- Put a failed message back, to be tried again after its backoff.
--
-- ARGV  1 uuid   2 token or ""   3 delay ms   4 weight of a priority level   5 exception details
--       6 new body or ""         7 status RETRYING    8 the error in one short line
--
-- Returns  1 done,  2 repeated,  -1 no such message,  -2 lease lost,  -3 revoked
-- include: _prelude

check_indexes()
local id = ARGV[1]
local rec = tag .. 'm:' .. id
local h, code = guard(rec, ARGV[2], ARGV[2] == '' and '' or 'rd')
if not h then return code end
local now = clock()
unindex(1, id, h[1])
redis.call('HSET', rec, 's', place(1, id, num(h[5]), tonumber(ARGV[4]), now, tonumber(ARGV[3])), 'e', ARGV[5], 'n', num(h[8]) + 1)
mark_as_changed(rec)
if h[1] == 'l' then chronicle(rec, h[9], h[2], now, 'retried', ARGV[8]) end
tally(1, 'r', 1)
write_tallies(now)
if ARGV[6] ~= '' then redis.call('HSET', rec, 'b', ARGV[6]) end
tell(1, h[3], id, h[4], ARGV[7], false)
return 1
