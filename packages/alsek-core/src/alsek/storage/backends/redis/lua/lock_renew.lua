#!lua flags=allow-oom
-- Let a lock live on, if this owner holds it.
--
-- KEYS  1 the lock     ARGV  1 owner   2 ttl ms
--
-- Returns  1 renewed,  0 not held by this owner

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
