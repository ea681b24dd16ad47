#!lua
-- Take a lock, if nobody holds it.
--
-- KEYS  1 the lock (string: its owner)   2 its notes (hash: n fence, t last acquisition, r last release)
--       3 its signal (list)
-- ARGV  1 owner   2 token of this acquisition   3 ttl ms   4 ms to keep the notes
--       5 "1" when an earlier, unanswered call may have done it
--
-- Returns {1, fence} taken,  {2, fence} this owner holds it already,  {0, ms until it expires} held by another

local lock, notes, signal = KEYS[1], KEYS[2], KEYS[3]
local owner, token = ARGV[1], ARGV[2]
local holder = redis.call('GET', lock)

if holder and holder ~= owner then return {0, redis.call('PTTL', lock)} end

if holder then
  local h = redis.call('HMGET', notes, 'n', 't')
  local mine = ARGV[5] == '1' and h[2] == token
  return {mine and 1 or 2, tonumber(h[1] or 0)}
end

redis.call('LLEN', signal)
if redis.call('EXISTS', notes) == 0 then
  -- Start from the clock: when forgotten notes begin anew, the fence still grows.
  local t = redis.call('TIME')
  redis.call('HSET', notes, 'n', t[1] .. string.format('%06d', tonumber(t[2])))
end
local fence = redis.call('HINCRBY', notes, 'n', 1)
redis.call('HSET', notes, 't', token)
redis.call('PEXPIRE', notes, ARGV[4])
redis.call('SET', lock, owner, 'PX', ARGV[3])
redis.call('DEL', signal)
return {1, fence}
