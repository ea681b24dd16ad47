#!lua
-- Store a text and publish it.
--
-- KEYS[1] where it is stored
-- ARGV[1] text   ARGV[2] expiry in ms, "" for none   ARGV[3] channel, "" for none
--
-- Returns  1

if ARGV[2] == '' then
  redis.call('SET', KEYS[1], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
if ARGV[3] ~= '' then redis.call('PUBLISH', ARGV[3], ARGV[1]) end
return 1
