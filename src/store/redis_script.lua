-- The replay store's one script. Redis runs it whole or not at all, so what it judges and what it
-- writes belong together, whoever else writes. It knows no window rule: those are in C
-- (store_window.c, store_times.c, store_clock.c), and come here as sets to keep and times to compare.
--
-- A number n rises with every write: microseconds of this server's clock, or one more than the last.
-- A branch is the history under one replication ID of Redis: it changes when a replica is promoted,
-- when the server restarts, and when track is lost. A caller names the branch and the n of the last
-- write that was acknowledged to it. This database has that write if n is not beyond the end of that
-- branch here; else it is a stale copy, or emptied, or another history: LOST, and nothing is done.
--
-- ARGV: operation, caller's branch ('' for none), caller's n, the loss that the caller has waited
-- out, the version of the sets it has; then the operation's own.
-- Reply: word, branch, n, now, lost_n, closed_until, version, extra; and when the version is another
-- one than the caller's: identity, why, the four sets.

local META, ENTRIES, EXPIRY, COUNTERS, LANES, ENDS, COUNTERS_LOST, USES = unpack(KEYS)
local op, seen_branch, seen_n, gate, seen_version = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local SETS = {'forgotten0', 'forgotten1', 'reached0', 'reached1'}

local replication = redis.call('INFO', 'replication')
if replication:match('role:(%a+)') ~= 'master' then
    return redis.error_reply('READONLY this server is a replica')
end
local replid = replication:match('master_replid:(%x+)')
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local field = redis.call('HMGET', META, 'branch', 'replid', 'n', 'lost_n', 'closed_until', 'version', 'entries',
    'counters', 'identity', 'lanes', 'uses')
local exists = field[1] ~= false
local branch, begun_by, n = field[1] or '', field[2], tonumber(field[3] or 0)
local lost_n, closed_until, version = tonumber(field[4] or 0), field[5] or '0', field[6] or ''
local identity = field[9] or ''

local function text(number)
    return string.format('%.0f', number)
end

local function reply(word, extra)
    local out = {word, branch, text(n), text(now), text(lost_n), closed_until, version, extra or ''}
    if version ~= seen_version then
        local more = redis.call('HMGET', META, 'identity', 'why', unpack(SETS))
        for i = 1, 6 do
            out[8 + i] = more[i] or ''
        end
    end
    return out
end

local function begin_branch()
    branch = redis.sha1hex(replid .. ':' .. text(n)):sub(1, 16)
    redis.call('HSET', META, 'branch', branch, 'replid', replid)
end

local function rise()
    n = math.max(n + 1, now)
    redis.call('HSET', META, 'n', text(n))
end

-- The first of the caller's own arguments, as the four sets.
local function put_sets(first)
    for i = 1, 4 do
        redis.call('HSET', META, SETS[i], ARGV[first + i - 1])
    end
    version = text(n)
    redis.call('HSET', META, 'version', version)
end

-- Why this database cannot be trusted by this caller; nil when it can.
local function lost()
    if not exists then
        return (seen_branch ~= '' or op ~= 'open') and 'EMPTY' or nil
    end
    if redis.call('HLEN', ENTRIES) ~= tonumber(field[7]) or redis.call('HLEN', COUNTERS) ~= tonumber(field[8]) or
        redis.call('HLEN', LANES) ~= tonumber(field[10]) or redis.call('HLEN', USES) ~= tonumber(field[11] or 0) then
        return 'ENTRIES' -- evicted, or deleted by somebody
    end
    if seen_branch == '' or seen_n < lost_n then
        return nil -- before the last loss, which was waited out by all
    end
    local last = seen_branch == branch and n or tonumber(redis.call('HGET', ENDS, seen_branch) or -1)
    return seen_n > last and 'HISTORY' or nil
end

local operation = {}

function operation.open()
    if not exists then
        n, identity = now, ARGV[6]
        redis.call('HSET', META, 'identity', identity, 'entries', 0, 'counters', 0, 'lanes', 0)
        begin_branch()
        rise()
        version = text(n)
        redis.call('HSET', META, 'version', version)
    end
    return reply('OK')
end

function operation.touch()
    rise()
    return reply('OK', field[7])
end

-- expires, time, what is used ('' for nothing), how often it may be, how often it was as far as the
-- caller knows; digests
function operation.insert()
    if text(lost_n) ~= gate then
        return reply('CLOSED')
    end
    local here = {}
    for i = 11, #ARGV do
        if here[ARGV[i]] or redis.call('HEXISTS', ENTRIES, ARGV[i]) == 1 then
            return reply('REPLAY')
        end
        here[ARGV[i]] = true
    end
    local uses
    if ARGV[8] ~= '' then
        uses = math.max(tonumber(redis.call('HGET', USES, ARGV[8]) or 0), tonumber(ARGV[10])) + 1
        if uses > tonumber(ARGV[9]) then
            return reply('USED')
        end
        redis.call('HINCRBY', META, 'uses', redis.call('HSET', USES, ARGV[8], text(uses)))
    end
    for i = 11, #ARGV do
        redis.call('HSET', ENTRIES, ARGV[i], ARGV[7])
        redis.call('ZADD', EXPIRY, ARGV[6], ARGV[i])
    end
    redis.call('HINCRBY', META, 'entries', #ARGV - 10)
    rise()
    return reply('OK', uses and text(uses))
end

-- digest, value: eight bytes, the highest first, so that they compare as text
function operation.counter()
    if text(lost_n) ~= gate then
        return reply('CLOSED')
    end
    if redis.call('EXISTS', COUNTERS_LOST) == 1 then
        return reply('COUNTERS')
    end
    local highest = redis.call('HGET', COUNTERS, ARGV[6])
    if highest and ARGV[7] <= highest then
        return reply('REPLAY')
    end
    redis.call('HSET', COUNTERS, ARGV[6], ARGV[7])
    if not highest then
        redis.call('HINCRBY', META, 'counters', 1)
    end
    rise()
    return reply('OK')
end

-- now, until (ms), lanes in all, the caller's lane, its mark as the caller left it
function operation.stamp()
    local from, lane = tonumber(ARGV[6]), ARGV[9]
    if from < tonumber(redis.call('HGET', META, 'stamps_after') or 0) then
        return reply('LATER')
    end
    if lane == '' or redis.call('HGET', LANES, lane) ~= ARGV[10] then
        lane = nil
        for i = 0, ARGV[8] - 1 do
            if tonumber(redis.call('HGET', LANES, i) or -1) < from then
                lane = i
                break
            end
        end
    end
    if not lane then
        return reply('FULL')
    end
    redis.call('HINCRBY', META, 'lanes', redis.call('HSET', LANES, lane, ARGV[7]))
    rise()
    return reply('OK', tostring(lane))
end

-- version, sets
function operation.sets()
    if version ~= ARGV[6] then
        return reply('STALE')
    end
    rise()
    put_sets(7)
    return reply('OK')
end

-- cutoff, how many: digests and times of what may go
function operation.expired()
    local due = redis.call('ZRANGEBYSCORE', EXPIRY, '-inf', ARGV[6], 'LIMIT', 0, ARGV[7])
    local out = {}
    for _, digest in ipairs(due) do
        out[#out + 1] = digest
        out[#out + 1] = redis.call('HGET', ENTRIES, digest) or ''
    end
    return reply('OK', out)
end

-- version, sets, digests
function operation.discard()
    if version ~= ARGV[6] then
        return reply('STALE')
    end
    local gone = 0
    for i = 11, #ARGV do
        gone = gone + redis.call('HDEL', ENTRIES, ARGV[i])
        redis.call('ZREM', EXPIRY, ARGV[i])
    end
    if gone ~= 0 then -- another daemon was first; -0 is no integer for Redis
        redis.call('HINCRBY', META, 'entries', -gone)
    end
    rise()
    local before = redis.call('HMGET', META, unpack(SETS))
    for i = 1, 4 do
        if (before[i] or '') ~= ARGV[6 + i] then
            put_sets(7)
            break
        end
    end
    return reply('OK', text(gone))
end

-- closed until, identity, no timestamps before (ms), version, sets
function operation.lose(why)
    if not why then
        return reply('OK')
    end
    if version ~= ARGV[9] then
        return reply('STALE')
    end
    n = math.max(n + 1, now, seen_n + 1)
    lost_n, closed_until = n, ARGV[6]
    identity = exists and identity or ARGV[7]
    redis.call('DEL', ENDS)
    redis.call('HSET', META, 'n', text(n), 'lost_n', text(lost_n), 'closed_until', closed_until, 'why', why,
        'identity', identity, 'stamps_after', ARGV[8], 'entries', redis.call('HLEN', ENTRIES), 'counters',
        redis.call('HLEN', COUNTERS), 'lanes', redis.call('HLEN', LANES), 'uses', redis.call('HLEN', USES))
    redis.call('SET', COUNTERS_LOST, why)
    begin_branch()
    put_sets(10)
    return reply('OK')
end

local why = lost()
if why and op ~= 'lose' then
    return reply('LOST', why)
end
if exists and not why and begun_by ~= replid then
    redis.call('HSET', ENDS, branch, text(n))
    begin_branch()
end
return operation[op](why)
