-- Shared by every verb (put in the place of `-- include: _prelude` when the script is loaded).
--
-- KEYS[1] is the partition's tag; behind it stand five keys for each queue: ready, delayed, leases, dead, wake.
-- Record keys are derived from the tag: a claim learns the ids only while it runs.

local tag = KEYS[1]
local READY, DELAYED, LEASES, DEAD, WAKE = 0, 1, 2, 3, 4
local EPOCH = 1577836800000

-- Key of queue number `qi` (from 1).
local function qkey(qi, which) return KEYS[2 + (qi - 1) * 5 + which] end

local function qname(qi) return string.sub(KEYS[2 + (qi - 1) * 5], #tag + 3) end

-- Look at every index first: what stands there instead of one stops the script now, before its first write.
local function check_indexes()
  for i = 2, #KEYS, 5 do
    for which = READY, DEAD do redis.call('ZCARD', KEYS[i + which]) end
    redis.call('LLEN', KEYS[i + WAKE])
  end
end

-- Redis' own clock in ms; read once per script.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A count of a record; what is none counts as absent: one corrupt field must not stop a script half-way, nor reach a
-- client as `nan` or `1e+20`.
local function num(field)
  local n = tonumber(field or nil)
  return n and n >= 0 and n < 1e14 and math.floor(n) or 0
end

-- What this call did, by queue: written once at its end, so that a batch costs no more than a message.
local tallies = {}

-- Count; what: s submitted, c claimed, w their waits (ms, estimated), k succeeded, h their runs (ms), r retried, f failed,
-- x:<reason> ended badly.
local function tally(qi, what, n)
  local of_queue = tallies[qi]
  if not of_queue then
    of_queue = {}
    tallies[qi] = of_queue
  end
  of_queue[what] = (of_queue[what] or 0) + n
end

-- Add the counts to this minute's. Fifteen minutes share a small hash that vanishes after six hours; what else stands
-- under its name costs the counts, never a message.
local function write_tallies(now)
  local minute, stem = math.floor(now / 60000) % 15, string.format(':%d', math.floor(now / 900000))
  for qi, of_queue in pairs(tallies) do
    local key = tag .. 'n:' .. qname(qi) .. stem
    for what, n in pairs(of_queue) do
      if n > 0 and redis.pcall('HINCRBY', key, minute .. what, n) == n then redis.pcall('PEXPIRE', key, 22500000) end
    end
  end
end

-- Note how an attempt ended: "<claimed> <ended> <token> <how> <note>", a line each, the last ten. Only attempts that
-- ended otherwise than well are noted: what went well needs no history.
local function chronicle(rec, claimed, token, now, how, note)
  local line = string.format('%d %d ', num(claimed), now) .. (token or '') .. ' ' .. how .. ' ' .. note
  local before = redis.call('HGET', rec, 'h')
  if before then
    local _, breaks = string.gsub(before, '\n', '')
    if breaks >= 9 then before = string.match(before, '\n(.*)') end
    line = before .. '\n' .. line
  end
  redis.call('HSET', rec, 'h', line)
end

-- Wake one idle consumer; the list never holds more than one marker.
local function wake(qi)
  local key = qkey(qi, WAKE)
  if redis.call('LLEN', key) == 0 then redis.call('RPUSH', key, '1') end
end

-- Put an id where it waits: ready now, or delayed until `due`. Returns the state letter.
local function place(qi, id, priority, weight, now, delay)
  if delay > 0 then
    redis.call('ZADD', qkey(qi, DELAYED), now + delay, id)
    if redis.call('ZRANGE', qkey(qi, DELAYED), 0, 0)[1] == id then wake(qi) end
    return 'd'
  end
  redis.call('ZADD', qkey(qi, READY), priority * weight + (now - EPOCH), id)
  wake(qi)
  return 'r'
end

-- Tell a tracked message's status: stored and published; with an expiry only when it has ended.
local function tell(qi, task, id, kept_ms, payload, ended)
  if not kept_ms or payload == '' then return end
  local stem = qname(qi) .. ':' .. (task or '') .. ':' .. id
  if ended and num(kept_ms) >= 1 then
    redis.call('SET', tag .. 'status:' .. stem, payload, 'PX', string.format('%d', num(kept_ms)))
  else
    redis.call('SET', tag .. 'status:' .. stem, payload)
  end
  redis.call('PUBLISH', 'channel:' .. stem, payload)
end

-- End a message for good: the record gives way to a receipt, "<letter> <token> <ms> <reason> <error>", that remembers
-- for a while how it ended.
local function close(rec, letter, token, now, receipt_ms, reason, details)
  redis.call('SET', rec, letter .. ' ' .. token .. ' ' .. now .. ' ' .. reason .. ' ' .. details, 'PX', receipt_ms)
end

-- The letter and the token of a receipt, if that is what the key holds.
local function receipt_of(rec)
  local receipt = redis.pcall('GET', rec)
  if type(receipt) ~= 'string' then return end
  return string.match(receipt, '^(%a) (%S*) ')
end

-- The uuid of the message that holds the key of unique messages, if any does: it lives, or its window is still open.
local function holder_of(digest, now)
  local held = redis.pcall('GET', tag .. 'u:' .. digest)
  if type(held) ~= 'string' then return end
  local id, ends = string.match(held, '^(%S+) (%d+)$')
  if not id then return end
  if num(ends) > now then return id end
  local state = redis.pcall('HGET', tag .. 'm:' .. id, 's')
  if state == 'r' or state == 'd' or state == 'l' then return id end
end

-- Its holder has ended: let a key go, or, after a success, when its window is over.
local function free_key(digest, id, now, succeeded)
  local key = tag .. 'u:' .. digest
  local held = redis.pcall('GET', key)
  if type(held) ~= 'string' or string.sub(held, 1, #id + 1) ~= id .. ' ' then return end
  local ends = num(string.match(held, ' (%d+)$'))
  if succeeded and ends > now then redis.call('PEXPIREAT', key, string.format('%d', ends))
  else redis.call('DEL', key) end
end

-- End a message among the dead letters, or for good when the queue keeps none (`dlq_ms` 0; -1 keeps for ever).
-- The caller has taken the id out of its index. `letter` is the final state without dead letters.
local function bury(qi, rec, id, task, kept_ms, token, reason, details, letter, now, dlq_ms, receipt_ms, payload)
  tally(qi, 'x:' .. reason, 1)
  if letter == 'F' then tally(qi, 'f', 1) end
  local digest = redis.call('HGET', rec, 'u')
  if digest then free_key(digest, id, now, false) end
  if dlq_ms ~= 0 then
    local expiry = dlq_ms < 0 and '+inf' or (now + dlq_ms)
    redis.call('ZADD', qkey(qi, DEAD), expiry, id)
    redis.call('HSET', rec, 's', 'x', 'a', reason, 'z', now, 'e', details)
  else
    close(rec, letter, token, now, receipt_ms, reason, details)
  end
  tell(qi, task, id, kept_ms, payload, true)
  redis.call('PUBLISH', tag .. 'done:' .. id, letter)
end

-- Compare a caller's token with the record. Returns the fields {s, t, T, k, p, d, a, n, c}, or nil and the code to answer.
-- An empty token is the administrator's: it may act on any message that has not ended. `repeated` names the states in
-- which the same wish has been carried out before.
local function guard(rec, token, repeated)
  local h = redis.pcall('HMGET', rec, 's', 't', 'T', 'k', 'p', 'd', 'a', 'n', 'c')
  if h.err then
    local letter, held_by = receipt_of(rec)
    if not letter then return nil, -1 end
    if token ~= '' and held_by ~= token then return nil, -2 end
    if string.find(repeated, letter, 1, true) then return nil, 2 end
    return nil, letter == 'V' and token ~= '' and -3 or -2
  end
  local state = h[1]
  if not state then return nil, -1 end
  if token == '' then
    if state == 'r' or state == 'd' or state == 'l' then return h end
    return nil, string.find(repeated, state, 1, true) and 2 or -2
  end
  if h[2] ~= token then return nil, -2 end
  if state == 'l' then return h end
  if h[7] == 'revoked' then return nil, -3 end
  return nil, string.find(repeated, state, 1, true) and 2 or -2
end

-- A claim looks for counts and errors only where there is a fence: a record that gets them otherwise gets one, too.
local function mark_as_changed(rec) redis.call('HSETNX', rec, 'f', '0') end

-- Take a live id out of the index that its state names.
local function unindex(qi, id, state)
  if state == 'l' then redis.call('ZREM', qkey(qi, LEASES), id)
  elseif state == 'r' then redis.call('ZREM', qkey(qi, READY), id)
  elseif state == 'd' then redis.call('ZREM', qkey(qi, DELAYED), id)
  elseif state == 'x' then redis.call('ZREM', qkey(qi, DEAD), id) end
end

-- Create a record and put its id where it waits. The caller has checked that it is new.
local function create(qi, rec, id, task, body, priority, delay, ttl, kept_ms, weight, now, payload)
  tally(qi, 's', 1)
  local state = place(qi, id, tonumber(priority), weight, now, tonumber(delay))
  redis.call('HSET', rec, 'b', body, 'T', task, 's', state)
  if ttl ~= '' then redis.call('HSET', rec, 'x', now + ttl) end
  if priority ~= '0' then redis.call('HSET', rec, 'p', priority) end
  if kept_ms ~= '' then
    redis.call('HSET', rec, 'k', kept_ms)
    tell(qi, task, id, kept_ms, payload, false)
  end
end

-- Note that a worker spoke. After a silence longer than `gap_ms` (Redis was away, or no worker was) nobody's lease
-- is recovered for one lease: live workers get the time to renew first. Returns the end of the grace, and the fields
-- `clock`, `grace` and those asked for besides.
local function tick(now, lease_ms, gap_ms, ...)
  local key = tag .. 'meta'
  local meta = redis.call('HMGET', key, 'clock', 'grace', ...)
  local last = tonumber(meta[1] or now)
  local grace = tonumber(meta[2] or 0)
  if now - last > gap_ms or last - now > gap_ms then
    grace = now + lease_ms
    redis.call('HSET', key, 'clock', now, 'grace', grace)
  elseif now ~= last or not meta[1] then
    redis.call('HSET', key, 'clock', now)
  end
  return grace, meta
end
