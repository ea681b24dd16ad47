#!lua flags=allow-oom
-- Spend from a budget that is new every day (UTC).
--
-- KEYS[1] the budget
-- ARGV  1 units a day   2 units to spend
--
-- Returns  1 or 0 (too little is left: nothing was spent),  units left,  ms until the next day

local most, wanted = tonumber(ARGV[1]), tonumber(ARGV[2])
local t = redis.call('TIME')
local day = math.floor(t[1] / 86400)
local left_ms = ((day + 1) * 86400 - t[1]) * 1000
local stored = redis.call('HMGET', KEYS[1], 'day', 'spent')
local spent = tonumber(stored[1]) == day and tonumber(stored[2]) or 0
if spent + wanted > most then return {0, math.max(0, most - spent), left_ms} end
redis.call('HSET', KEYS[1], 'day', string.format('%d', day), 'spent', string.format('%d', spent + wanted))
redis.call('PEXPIRE', KEYS[1], left_ms + 1000)
return {1, most - spent - wanted, left_ms}
