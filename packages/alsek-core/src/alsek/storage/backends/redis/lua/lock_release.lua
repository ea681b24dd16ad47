#!lua flags=allow-oom
-- Give a lock back, if this owner holds it, and wake one who waits.
--
-- KEYS  as of lock_acquire
-- ARGV  1 owner   2 token of this release   3 ms to keep the signal
--       4 "1" when an earlier, unanswered call may have done it
--
-- Returns  1 released,  2 released by the earlier call,  0 not held by this owner

local lock, notes, signal = KEYS[1], KEYS[2], KEYS[3]

if redis.call('GET', lock) == ARGV[1] then
  redis.call('HSET', notes, 'r', ARGV[2])
  if redis.call('LLEN', signal) == 0 then redis.call('RPUSH', signal, '1') end
  redis.call('PEXPIRE', signal, ARGV[3])
  redis.call('DEL', lock)
  return 1
end
if ARGV[4] == '1' and redis.call('HGET', notes, 'r') == ARGV[2] then return 2 end
return 0
