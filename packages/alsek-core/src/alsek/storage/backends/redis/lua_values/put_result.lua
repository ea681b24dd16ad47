#!lua flags=allow-oom
-- Store a result outside of an ack, and tell those who wait for it.
--
-- KEYS[1] the partition's tag
-- ARGV  1 uuid   2 key of the result behind the tag   3 text   4 ttl ms   5 "1": only if there is none
--       6 key of the index of descendants behind the tag, or ""
--       7 "1" when an earlier, unanswered call may have done it
--
-- Returns  1 stored,  0 there is one already
local tag, id, ttl = KEYS[1], ARGV[1], tonumber(ARGV[4])
local key = tag .. ARGV[2]
if ARGV[5] == '1' and redis.call('EXISTS', key) == 1 then
  local mine = ARGV[7] == '1' and string.match(redis.call('GET', key), '^%d+:(.*)$') == ARGV[3]
  return mine and 1 or 0
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('SET', key, now .. ':' .. ARGV[3], 'PX', ttl)
if ARGV[6] ~= '' then
  local kids = tag .. ARGV[6]
  redis.call('ZADD', kids, now, id)
  if redis.call('PTTL', kids) < ttl then redis.call('PEXPIRE', kids, ttl) end
  redis.call('PUBLISH', kids, id)
end
redis.call('PUBLISH', tag .. 'done:' .. id, 'S')
return 1
