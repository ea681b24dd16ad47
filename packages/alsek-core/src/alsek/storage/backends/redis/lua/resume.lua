#!lua flags=allow-oom
-- Let a paused queue go on, and wake an idle worker where something waits.
--
-- ARGV  1 "1" when an earlier, unanswered call may have done it
--
-- Returns  1 resumed,  2 resumed by the earlier call,  0 was not paused
-- include: _prelude

check_indexes()
if redis.call('HDEL', tag .. 'meta', 'pause:' .. qname(1)) == 0 then return ARGV[1] == '1' and 2 or 0 end
if redis.call('ZCARD', qkey(1, READY)) > 0 or redis.call('ZCARD', qkey(1, DELAYED)) > 0 then wake(1) end
return 1
