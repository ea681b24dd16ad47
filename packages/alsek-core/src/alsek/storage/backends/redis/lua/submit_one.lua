#!lua
-- Store one new message of the usual kind (of priority 0, ready at once, untracked): what `submit` does, but a caller
-- waits for this one alone, so every command and every closure counts, and it goes without the prelude.
--
-- KEYS  1 tag   2 ready   3 wake
-- ARGV  1 "1" when an earlier, unanswered call may have done it   2 uuid   3 task   4 body   5 ttl ms or ""
--       6 queue
--
-- Returns {code}:  1 stored,  2 stored by the earlier call,  0 exists already

local tag, ready, wake = KEYS[1], KEYS[2], KEYS[3]
local asleep = redis.call('LLEN', wake) == 0
-- A marker stands only in a queue whose name is known.
if asleep and redis.call('SISMEMBER', tag .. 'queues', ARGV[6]) == 0 then
  redis.call('ZCARD', ready)
  redis.call('SADD', tag .. 'queues', ARGV[6])
end

local rec = tag .. 'm:' .. ARGV[2]
local given_way = false
if redis.call('EXISTS', rec) == 1 then
  if ARGV[1] == '1' then return {2} end
  local receipt = redis.pcall('GET', rec)
  if type(receipt) ~= 'string' or not string.find(receipt, '^%a %S* ') then return {0} end
  given_way = true
end

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- The index first: where it is none, this stops before anything was written. What follows cannot fail.
redis.call('ZADD', ready, now - 1577836800000, ARGV[2])
if given_way then redis.call('DEL', rec) end
if ARGV[5] == '' then
  redis.call('HSET', rec, 'b', ARGV[4], 'T', ARGV[3], 's', 'r')
else
  redis.call('HSET', rec, 'b', ARGV[4], 'T', ARGV[3], 's', 'r', 'x', now + ARGV[5])
end
if asleep then redis.call('RPUSH', wake, '1') end

-- One more in this minute; see `write_tallies` of the prelude.
local counts = tag .. 'n:' .. ARGV[6] .. ':' .. math.floor(now / 900000)
if redis.pcall('HINCRBY', counts, math.floor(now / 60000) % 15 .. 's', 1) == 1 then
  redis.pcall('PEXPIRE', counts, 22500000)
end
return {1}
