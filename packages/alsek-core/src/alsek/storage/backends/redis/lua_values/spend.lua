#!lua flags=allow-oom
-- Spend from a budget that refills all the time (the generic cell rate algorithm: the bucket is one moment in time).
--
-- KEYS[1] the budget
-- ARGV  1 units a second   2 units that may be spent at once   3 units to spend
--
-- Returns  1 or 0 (too little is left: nothing was spent),  units left,  ms to wait until the units are there,
--          ms until the budget is whole

local rate, most, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local unit = 1000000 / rate
local whole_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') or 0, now)
local after = whole_at + wanted * unit
local wait = after - most * unit - now
if wait > 0 then
  return {0, math.floor(most - (whole_at - now) / unit), math.ceil(wait / 1000), math.ceil((whole_at - now) / 1000)}
end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1000)
return {1, math.floor(most - (after - now) / unit), 0, math.ceil((after - now) / 1000)}
