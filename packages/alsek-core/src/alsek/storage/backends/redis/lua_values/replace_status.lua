#!lua flags=allow-oom
-- Replace a status that nothing has changed since it was read.
--
-- KEYS[1] status
-- ARGV  1 text that was read   2 new text   3 how long it is kept, ms, or ""   4 channel, or "" for none
--
-- Returns  1 replaced,  0 it is another by now, or gone
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] ~= '' then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[2])
end
if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[4], ARGV[2]) end
return 1
