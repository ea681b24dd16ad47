#!lua flags=allow-oom
-- Take the lead of all schedulers if nobody has it, or keep it.
--
-- KEYS[1] tag of partition 0        `schedules:lock` behind it: the leader's identity, as long as its lease holds;
--                                   `schedules:epoch`: counts leaderships, for ever
-- ARGV  1 identity   2 lease ms   3 the epoch has to be greater than this
--
-- Returns {1, epoch} taken,  {2, epoch} kept,  {0, ms until the other's lease ends}

local lock, counter = KEYS[1] .. 'schedules:lock', KEYS[1] .. 'schedules:epoch'
local holder = redis.call('GET', lock)
local epoch = tonumber(redis.call('GET', counter) or 0) or 0
if holder and holder ~= ARGV[1] then return {0, redis.call('PTTL', lock)} end
if holder and epoch > tonumber(ARGV[3]) then
  redis.call('PEXPIRE', lock, ARGV[2])
  return {2, epoch}
end
epoch = math.max(epoch, tonumber(ARGV[3])) + 1
redis.call('SET', counter, string.format('%d', epoch))
redis.call('SET', lock, ARGV[1], 'PX', ARGV[2])
return {1, epoch}
