#!lua flags=allow-oom
-- Start the time to live of a held lock anew.
--
-- KEYS[1] lock (hash)
-- ARGV  1 owner   2 ttl ms, or "" for no end
--
-- Returns  1 renewed,  0 not held by this owner
if redis.call('HGET', KEYS[1], 'o') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
