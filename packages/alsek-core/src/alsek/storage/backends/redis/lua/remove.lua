#!lua flags=allow-oom
-- Delete a message from wherever it is.
--
-- ARGV  1 uuid
--
-- Returns  1 removed,  -1 no such message
-- include: _prelude

check_indexes()
local id = ARGV[1]
local rec = tag .. 'm:' .. id
local ended = receipt_of(rec)
local digest = redis.pcall('HGET', rec, 'u')
if type(digest) == 'string' then free_key(digest, id, clock(), false) end
for which = READY, DEAD do redis.call('ZREM', qkey(1, which), id) end
if redis.call('DEL', rec) == 0 then return -1 end
return ended and -1 or 1
