#!lua
-- Reserve a request that is carried out in several steps, so that its repeat goes on where it ended.
--
-- KEYS[1] the request
-- ARGV  1 what it asks for   2 seed of its uuids   3 ms for which one may work on it alone   4 ms for which it is kept
--
-- Returns  {1, seed} it is ours (the seed is that of the first attempt),  {0, ms left} another works on it,
--          {3, its answer},  {-4} it asked for something else then

local before = redis.call('HMGET', KEYS[1], 'asked', 'answer', 'seed', 'busy')
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if before[1] and before[1] ~= ARGV[1] then return {-4} end
if before[2] then return {3, before[2]} end
local left = (tonumber(before[4] or '0') or 0) - now
if left > 0 then return {0, left} end
redis.call('HSET', KEYS[1], 'asked', ARGV[1], 'seed', before[3] or ARGV[2], 'busy', string.format('%d', now + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {1, before[3] or ARGV[2]}
