#!lua flags=allow-oom
-- Acknowledge messages their holder finished: result, status, callback and the end of the lease in one step.
--
-- ARGV  1 receipt ms   2 weight of a priority level   3 status SUCCEEDED   4 status SUBMITTED
--       5 number of groups; for each group of messages that leave nothing behind:
--         queue number, token, how many, their uuids
--       then for each message that does: queue number, uuid, token, parts
--         parts & 1, a result:    key behind the tag, text, ttl ms, key of the progenitor's index behind the tag or ""
--         parts & 2, a callback:  queue number, uuid, task, body, priority, delay ms, ttl ms or "", ms to keep the
--                                 status or ""
--
-- Returns a code for each message:  1 done,  2 repeated,  -1 no such message,  -2 lease lost,  -3 revoked
-- include: _prelude

local receipt_ms, weight = ARGV[1], tonumber(ARGV[2])
local now = clock()
local codes, gone, done, held = {}, {}, {}, {}
local stamp = ' ' .. string.format('%d', now) .. ' '
local at = 6

-- Look at one message: its code, how long to keep its status, where one is kept, its key, if it is unique, and when it
-- was claimed.
local function look(qi, id, token)
  local rec = tag .. 'm:' .. id
  local h = redis.pcall('HMGET', rec, 's', 't', 'k', 'u', 'c')
  local kept_ms, digest, claimed = h[3], h[4], h[5]
  if h.err or h[1] ~= 'l' or h[2] ~= token then
    local known, code = guard(rec, token, 'S')
    codes[#codes + 1] = known and 1 or code
    if not known then return end
    unindex(qi, id, known[1])
    kept_ms, digest, claimed = known[4], redis.call('HGET', rec, 'u'), known[1] == 'l' and known[9]
  else
    codes[#codes + 1] = 1
    local batch = gone[qi]
    if not batch then
      batch = {}
      gone[qi] = batch
    end
    batch[#batch + 1] = id
  end
  done[qi] = (done[qi] or 0) + 1
  held[qi] = (held[qi] or 0) + now - (tonumber(claimed or nil) or now)
  return rec, kept_ms, digest, claimed or ''
end

-- What will be written is looked at first. Who holds a lease and leaves nothing behind touches no index but the leases.
do
  local i, leases_only = at, true
  for _ = 1, tonumber(ARGV[5]) do
    leases_only = leases_only and ARGV[i + 1] ~= ''
    i = i + 3 + tonumber(ARGV[i + 2])
  end
  if leases_only and i > #ARGV then
    for k = 2, #KEYS, 5 do redis.call('ZCARD', KEYS[k + LEASES]) end
  else
    check_indexes()
  end
  while i <= #ARGV do
    local parts = tonumber(ARGV[i + 3])
    if parts % 2 == 1 and ARGV[i + 7] ~= '' then redis.call('ZCARD', tag .. ARGV[i + 7]) end
    if parts >= 2 then redis.call('SCARD', tag .. 'queues') end
    i = i + 4 + (parts % 2) * 4 + (parts >= 2 and 8 or 0)
  end
end

-- Ended with nothing left behind: only the receipt.
for _ = 1, tonumber(ARGV[5]) do
  local qi, token, count = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2])
  local receipt = 'S ' .. token .. stamp
  for i = at + 3, at + 2 + count do
    local id = ARGV[i]
    local rec, kept_ms, digest, claimed = look(qi, id, token)
    if rec then
      if digest then free_key(digest, id, now, true) end
      local task = kept_ms and redis.call('HGET', rec, 'T')
      redis.call('SET', rec, receipt .. claimed .. ' ', 'PX', receipt_ms)
      if kept_ms then tell(qi, task, id, kept_ms, ARGV[3], true) end
    end
  end
  at = at + 3 + count
end

while at <= #ARGV do
  local qi, id, token, parts = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local rec, kept_ms, digest, claimed = look(qi, id, token)
  local result, child = at + 4, at + 4 + (parts % 2) * 4
  at = child + (parts >= 2 and 8 or 0)
  if rec then
    if digest then free_key(digest, id, now, true) end
    local task = kept_ms and redis.call('HGET', rec, 'T')
    redis.call('SET', rec, 'S ' .. token .. stamp .. claimed .. ' ', 'PX', receipt_ms)
    if parts % 2 == 1 then
      redis.call('SET', tag .. ARGV[result], now .. ':' .. ARGV[result + 1], 'PX', ARGV[result + 2])
      if ARGV[result + 3] ~= '' then
        local kids = tag .. ARGV[result + 3]
        redis.call('ZADD', kids, now, id)
        if redis.call('PTTL', kids) < tonumber(ARGV[result + 2]) then redis.call('PEXPIRE', kids, ARGV[result + 2]) end
        redis.call('PUBLISH', kids, id)
      end
      redis.call('PUBLISH', tag .. 'done:' .. id, 'S')
    end
    if kept_ms then tell(qi, task, id, kept_ms, ARGV[3], true) end
    if parts >= 2 then
      local cqi, cid = tonumber(ARGV[child]), ARGV[child + 1]
      local crec = tag .. 'm:' .. cid
      if redis.call('EXISTS', crec) == 0 then
        redis.call('SADD', tag .. 'queues', qname(cqi))
        create(cqi, crec, cid, ARGV[child + 2], ARGV[child + 3], ARGV[child + 4], ARGV[child + 5], ARGV[child + 6],
          ARGV[child + 7], weight, now, ARGV[4])
      end
    end
  end
end

for qi, batch in pairs(gone) do redis.call('ZREM', qkey(qi, LEASES), unpack(batch)) end
for qi, n in pairs(done) do tally(qi, 'k', n) end
for qi, ms in pairs(held) do tally(qi, 'h', math.max(0, math.floor(ms))) end
write_tallies(now)
return codes
