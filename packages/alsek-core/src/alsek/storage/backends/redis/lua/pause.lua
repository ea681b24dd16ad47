#!lua
-- Pause a queue: claims give nothing from it. What runs goes on, and new messages are accepted.
--
-- ARGV  1 token of this pause   2 what to remember of it (opaque)   3 "1" when an earlier, unanswered call may have done it
--
-- Returns  1 paused,  2 paused by the earlier call,  0 paused already
-- include: _prelude

check_indexes()
local field = 'pause:' .. qname(1)
local before = redis.call('HGET', tag .. 'meta', field)
if before then
  return ARGV[3] == '1' and string.find(before, ' ' .. ARGV[1] .. ' ', 1, true) and 2 or 0
end
redis.call('SADD', tag .. 'queues', qname(1))
redis.call('HSET', tag .. 'meta', field, string.format('%d ', clock()) .. ARGV[1] .. ' ' .. ARGV[2])
return 1
