#!lua
-- Fire what is due: check the leader, advance each schedule and submit its messages, all in one step.
--
-- ARGV  1 epoch   2 identity   3 weight of a priority level   4 status text of SUBMITTED
--       then for each schedule:
--       id, version, next fire it was read with, next fire from now on ("": none), last instant that is handled by
--       this, number of instants missed, overlap (a allow, s skip, q queue_one), queue number, task, ttl ms or "",
--       ms to keep the status or "", priority, delay ms, number of messages, then for each message:
--       fire time, uuid, body
--
-- Returns {1, now, then for each schedule a code and the uuids it submitted, by spaces}
--         codes: 1 advanced,  -1 no such schedule,  -2 changed or fired by somebody else,  -4 not due,
--                -5 what stands in the place of an index of its queue is none
--         {-2, now} another one leads
-- include: _prelude
-- include: _schedules

local weight, payload = tonumber(ARGV[3]), ARGV[4]
local now = clock()
check_schedules()
redis.call('SCARD', tag .. 'queues')
if not is_leader(ARGV[1], ARGV[2]) then return {-2, now} end

local reply, registered, sound = {1, now}, {}, {}
local at = 5

-- Whether all indexes of a queue are what they should be: one that is not must not stop the schedules of others.
local function is_sound(qi)
  if sound[qi] == nil then
    local first, whole = 2 + (qi - 1) * 5, true
    for which = READY, DEAD do whole = whole and type(redis.pcall('ZCARD', KEYS[first + which])) == 'number' end
    sound[qi] = whole and type(redis.pcall('LLEN', KEYS[first + WAKE])) == 'number'
  end
  return sound[qi]
end

while at <= #ARGV do
  local id, version, read_ms, next_ms, handled = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local missed, overlap, qi, task = ARGV[at + 5], ARGV[at + 6], tonumber(ARGV[at + 7]), ARGV[at + 8]
  local ttl, kept, priority, delay = ARGV[at + 9], ARGV[at + 10], ARGV[at + 11], ARGV[at + 12]
  local count = tonumber(ARGV[at + 13])
  local first = at + 14
  at = first + count * 3

  local key = skey(id)
  local h = redis.pcall('HMGET', key, 'v', 'n', 'l', 'L', 'w', 's', 'c', 'm', 'o')
  local code, told = 1, {}
  if h.err or not h[1] then
    code = -1
  elseif h[1] ~= version or h[2] ~= read_ms or h[6] ~= 'a' then
    code = -2
  else
    for i = first, at - 1, 3 do
      if tonumber(ARGV[i]) > now then code = -4 end
    end
    if handled ~= '' and tonumber(handled) > now then code = -4 end
    if code == 1 and not is_sound(qi) then code = -5 end
  end

  if code == 1 then
    local watermark, last, waiting = num(h[3]), h[4] or '', h[5] or ''
    local dropped, fired, fired_at = 0, 0, nil
    for i = first, at - 1, 3 do
      local due, uuid = ARGV[i], ARGV[i + 1]
      local waited = due == waiting
      if not waited and tonumber(due) <= watermark then
        -- handled before
      elseif overlap ~= 'a' and alive(last) then
        if overlap == 'q' and waiting == '' then waiting = due
        elseif not waited then dropped = dropped + 1 end
      else
        if waited then waiting = '' end
        local rec = tag .. 'm:' .. uuid
        if redis.call('EXISTS', rec) == 0 then
          if not registered[qi] then
            redis.call('SADD', tag .. 'queues', qname(qi))
            registered[qi] = true
          end
          create(qi, rec, uuid, task, ARGV[i + 2], priority, delay, ttl, kept, weight, now, payload)
          told[#told + 1] = uuid
        end
        last, fired, fired_at = uuid, fired + 1, due
      end
    end
    if overlap ~= 'q' then waiting = '' end

    local values = {'n', next_ms, 'l', string.format('%d', math.max(watermark, num(handled))), 'w', waiting}
    local function set(field, value) values[#values + 1], values[#values + 2] = field, value end
    if fired > 0 then
      set('L', last)
      set('z', fired_at)
      set('c', num(h[7]) + fired)
    end
    if missed ~= '0' then set('m', num(h[8]) + num(missed)) end
    if dropped > 0 then set('o', num(h[9]) + dropped) end
    if next_ms == '' and waiting == '' then set('s', 'e') end
    redis.call('HSET', key, unpack(values))
    local look = tonumber(next_ms) or math.huge
    if waiting ~= '' then look = math.min(look, now + PATIENCE) end
    if look < math.huge then
      redis.call('ZADD', DUE, look, id)
    else
      redis.call('ZREM', DUE, id)
    end
  end
  reply[#reply + 1] = code
  reply[#reply + 1] = table.concat(told, ' ')
end
write_tallies(now)
return reply
