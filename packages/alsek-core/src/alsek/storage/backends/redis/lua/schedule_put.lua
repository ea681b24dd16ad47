#!lua
-- Write a schedule: create, change, pause, resume it, or mark it as broken.
--
-- ARGV  1 id   2 version it was read with; "0": there must be none   3 mark of this call
--       4 "1" when an earlier, unanswered call may have done it
--       5 state: a, p or x   6 next fire, ms; "": none; "=": as it stands   7 channel of schedulers
--       8 "1": refuse a next fire that has passed, since a schedule of this id that is gone may have had it
--       then fields and their values, to be set
--
-- Returns {code, version, now}: 1 written,  2 written by the earlier call,  0 exists already,  -1 no such schedule,
--         -2 changed by somebody else,  -3 the next fire is not after the last one, which came in between, or has passed
-- include: _prelude
-- include: _schedules

local id, version, mark, state, next_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[5], ARGV[6]
local key = skey(id)
check_schedules()
local now = clock()
local h = redis.call('HMGET', key, 'v', 't', 'l', 'n')
local known = h[1]

if ARGV[4] == '1' and known and h[2] == mark then return {2, tonumber(known), now} end
if version == '0' then
  if known then return {0, tonumber(known), now} end
elseif not known then
  return {-1, 0, now}
elseif known ~= version then
  return {-2, tonumber(known) or 0, now}
end
if next_ms == '=' then
  next_ms = h[4] or ''
elseif next_ms ~= '' and h[3] and tonumber(next_ms) <= (tonumber(h[3]) or 0) then
  return {-3, tonumber(known) or 0, now}
elseif next_ms ~= '' and ARGV[8] == '1' and tonumber(next_ms) <= now then
  return {-3, tonumber(known) or 0, now}
end

if state == 'a' and next_ms == '' then state = 'e' end
local fresh = string.format('%d', num(known) + 1)
redis.call('HSET', key, 'v', fresh, 't', mark, 's', state, 'n', next_ms, 'w', '', 'u', now)
if not known then redis.call('HSET', key, 'k', now) end
for i = 9, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
shelve(id, state, next_ms)
if state == 'a' then redis.call('PUBLISH', ARGV[7], 'changed') end
return {1, tonumber(fresh), now}
