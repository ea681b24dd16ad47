#!lua flags=allow-oom
-- Note in a progenitor's index that a descendant is about to store its result.
--
-- KEYS[1] index of the progenitor   ARGV  1 uuid of the descendant   2 now, ms   3 ms for which its result is kept
--
-- Returns  1

redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1
