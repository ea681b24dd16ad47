#!lua flags=no-writes
-- Count the schedules of one partition, and tell who leads.
--
-- Returns {now, all, active, paused, broken, identity of the leader or "", ms until its lease ends, latest epoch}
-- (the leader is known to partition 0 only)
-- include: _prelude
-- include: _schedules

local lock = tag .. 'schedules:lock'
return {
  clock(), redis.call('ZCARD', ALL), redis.call('ZCARD', DUE), redis.call('SCARD', PAUSED), redis.call('SCARD', BROKEN),
  redis.call('GET', lock) or '', redis.call('PTTL', lock), tonumber(redis.call('GET', tag .. 'schedules:epoch') or 0),
}
