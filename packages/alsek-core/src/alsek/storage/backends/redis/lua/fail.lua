#!lua flags=allow-oom
-- End a message as failed: it moves to the dead letters in one step.
--
-- ARGV  1 uuid   2 token or ""   3 reason   4 exception details   5 dlq ms (0 off, -1 for ever)
--       6 receipt ms             7 new body or ""                 8 status FAILED
--       9 the error in one short line
--
-- Returns  1 done,  2 repeated,  -1 no such message,  -2 lease lost,  -3 revoked
-- include: _prelude

check_indexes()
local id = ARGV[1]
local rec = tag .. 'm:' .. id
local h, code = guard(rec, ARGV[2], 'xF')
if not h then return code end
unindex(1, id, h[1])
if ARGV[7] ~= '' then redis.call('HSET', rec, 'b', ARGV[7]) end
local now = clock()
if h[1] == 'l' then chronicle(rec, h[9], h[2], now, 'failed', ARGV[9]) end
bury(1, rec, id, h[3], h[4], ARGV[2], ARGV[3], ARGV[4], 'F', now, tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[8])
write_tallies(now)
return 1
