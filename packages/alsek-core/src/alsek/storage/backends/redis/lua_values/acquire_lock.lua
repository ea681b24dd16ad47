-- Take a lock, if nobody holds it.
--
-- KEYS[1] lock (hash: o owner, f fence, n nonce)   KEYS[2] counter of fences
-- ARGV  1 owner   2 ttl ms, or "" for no end   3 nonce of this attempt   4 "1" when repeating it
--
-- Returns {1, fence} acquired,  {2, fence} this owner holds it already,  {0, ms until it lapses or -1} another holds it
local held = redis.call('HMGET', KEYS[1], 'o', 'f', 'n')
if not held[1] then
  local fence = redis.call('INCR', KEYS[2])
  redis.call('HSET', KEYS[1], 'o', ARGV[1], 'f', fence, 'n', ARGV[3])
  if ARGV[2] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
  return {1, fence}
end
if ARGV[4] == '1' and held[3] == ARGV[3] then return {1, tonumber(held[2])} end
if held[1] == ARGV[1] then return {2, tonumber(held[2])} end
return {0, redis.call('PTTL', KEYS[1])}
