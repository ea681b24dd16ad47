#!lua flags=allow-oom
-- Tell the leader what is due, and when to look again.
--
-- ARGV  1 epoch   2 identity   3 how many at most   4 how many of the first to pass over
--
-- Returns {1, now, ms until something is due or -1, then for each due schedule: id, version, next fire, last handled
--          fire, waiting fire, uuid of the first message, number of messages, anchor, what the last message died of
--          ("" where there is none)}
--         {-2, now} another one leads
-- include: _prelude
-- include: _schedules

local now = clock()
check_schedules()
if not is_leader(ARGV[1], ARGV[2]) then return {-2, now} end
local reply = {1, now, -1}
local ids = redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', ARGV[4], ARGV[3])
for i = 1, #ids do
  local id = ids[i]
  local h = redis.pcall('HMGET', skey(id), 'v', 'n', 'l', 'w', 'f', 'c', 'a', 's')
  if h.err or not h[1] or h[8] ~= 'a' then
    redis.call('ZREM', DUE, id) -- it must not stop the others (fsck names it)
  else
    local waiting = h[4] or ''
    if waiting ~= '' and (h[2] == '' or tonumber(h[2]) > now) and alive(redis.call('HGET', skey(id), 'L')) then
      -- nothing is due but the fire that waits, and it has to wait on
      redis.call('ZADD', DUE, math.min(tonumber(h[2]) or math.huge, now + PATIENCE), id)
    else
      reply[#reply + 1] = id
      for f = 1, 7 do reply[#reply + 1] = h[f] or '' end
      local died = redis.pcall('HGET', tag .. 'm:' .. (redis.call('HGET', skey(id), 'L') or ''), 'a')
      reply[#reply + 1] = type(died) == 'string' and died or ''
    end
  end
end
local soonest = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')[2]
if soonest then reply[3] = math.max(0, math.ceil(tonumber(soonest) - now)) end
return reply
