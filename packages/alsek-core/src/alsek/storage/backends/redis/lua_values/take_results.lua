#!lua flags=allow-oom
-- Look at results, take them, or drop them: whatever is deleted was there in the same step.
--
-- KEYS[1] the partition's tag
-- ARGV  1 "look", "take" or "drop"   2 "1": delete all of them or none
--       3 key of the index of descendants behind the tag, or ""
--       then for each message: uuid, key of its result behind the tag
--
-- Returns for each message {text, "" when dropped, or false; state or false; details of its last error or false}

-- State and details of a message of which only the receipt is left: "<letter> <token> <ms> <reason> <details>".
local function ended(key)
  local receipt = redis.pcall('GET', key)
  if type(receipt) ~= 'string' then return {false, false} end
  local letter, details = string.match(receipt, '^(%a) %S* %d+ %S* (.*)$')
  return {letter or false, details or false}
end

local tag, verb, whole = KEYS[1], ARGV[1], ARGV[2] == '1'
local found, keys, ids, complete = {}, {}, {}, true
for i = 4, #ARGV, 2 do
  local key = tag .. ARGV[i + 1]
  local text = false
  if verb == 'drop' then
    if redis.call('EXISTS', key) == 1 then text = '' end
  else
    text = redis.call('GET', key)
  end
  local record = {false, false}
  if text then
    keys[#keys + 1], ids[#ids + 1] = key, ARGV[i]
  else
    complete = false
    record = redis.pcall('HMGET', tag .. 'm:' .. ARGV[i], 's', 'e')
    if record.err then record = ended(tag .. 'm:' .. ARGV[i]) end
  end
  found[#found + 1] = {text, record[1], record[2]}
end
if verb ~= 'look' and #keys > 0 and (complete or not whole) then
  for i = 1, #keys do redis.call('UNLINK', keys[i]) end
  if ARGV[3] ~= '' then
    for i = 1, #ids do redis.call('ZREM', tag .. ARGV[3], ids[i]) end
  end
end
return found
