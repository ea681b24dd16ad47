#!lua flags=allow-oom
-- Give the lead back, and tell those who stand by.
--
-- KEYS[1] tag of partition 0
-- ARGV  1 identity   2 channel of schedulers
--
-- Returns  1 given back,  0 it was not ours

local lock = KEYS[1] .. 'schedules:lock'
if redis.call('GET', lock) ~= ARGV[1] then return 0 end
redis.call('DEL', lock)
redis.call('PUBLISH', ARGV[2], 'resigned')
return 1
