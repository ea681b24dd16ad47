#!lua flags=allow-oom
-- Give messages back unharmed, or, when their holder died of them, counted.
--
-- ARGV  1 weight of a priority level   2 "1" when the delivery counts   3 delay ms   4 max deliveries
--       5 dlq ms   6 receipt ms        7 status SUBMITTED               8 status FAILED
--       9 reason to die of when deliveries are used up                  10 exception details, or "" to keep what is there
--       11 how the attempt ended, "" when nothing is to be noted of it   12 why, in one short line
--       then for each message: queue number, uuid, token
--
-- Returns a code for each message:  1 back,  2 repeated,  3 ended among the dead letters,  -1 no such message,
--                                   -2 lease lost,  -3 revoked
-- include: _prelude

local weight, counts, delay = tonumber(ARGV[1]), ARGV[2] == '1', tonumber(ARGV[3])
check_indexes()
local now = clock()
local codes = {}

for i = 13, #ARGV, 3 do
  local qi, id = tonumber(ARGV[i]), ARGV[i + 1]
  local rec = tag .. 'm:' .. id
  local h, code = guard(rec, ARGV[i + 2], 'rd')
  if h and h[1] ~= 'l' then h, code = nil, 2 end
  if h then
    unindex(qi, id, 'l')
    if ARGV[11] ~= '' then chronicle(rec, h[9], h[2], now, ARGV[11], ARGV[12]) end
    if counts and num(h[6]) >= tonumber(ARGV[4]) then
      bury(qi, rec, id, h[3], h[4], h[2], ARGV[9], ARGV[10], 'F', now, tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[8])
      code = 3
    else
      if ARGV[10] ~= '' then redis.call('HSET', rec, 'e', ARGV[10]) end
      if not counts then redis.call('HSET', rec, 'd', num(h[6]) - 1) end
      redis.call('HSET', rec, 's', place(qi, id, num(h[5]), weight, now, delay))
      tell(qi, h[3], id, h[4], ARGV[7], false)
      code = 1
    end
  end
  codes[#codes + 1] = code
end
write_tallies(now)
return codes
