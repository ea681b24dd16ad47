#!lua flags=allow-oom
-- Release a lock that its owner holds, and wake who waits for it.
--
-- KEYS[1] lock (hash)
-- ARGV  1 owner   2 channel of the waiters   3 "1" when repeating
--
-- Returns  1 released,  0 not held by this owner
local owner = redis.call('HGET', KEYS[1], 'o')
if not owner and ARGV[3] == '1' then return 1 end
if owner ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
redis.call('PUBLISH', ARGV[2], 'released')
return 1
