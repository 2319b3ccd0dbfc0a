//! What one command cannot say, in Lua, which the server runs as one step. Each touches the one key it
//! is given.

use redis::{Cmd, cmd};

/// Writes where there is a value.
pub(super) const SET_PRESENT: &str = "\
local now = redis.call('GET', KEYS[1])
if not now or now == '' then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";

/// Writes the second in place of the first; an empty first one stands for nothing.
pub(super) const SWAP: &str = "\
local now = redis.call('GET', KEYS[1]) or ''
if now ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1";

/// Writes the head of a value.
pub(super) const STAMP: &str = "\
if redis.call('STRLEN', KEYS[1]) < string.len(ARGV[1]) then return 0 end
redis.call('SETRANGE', KEYS[1], 0, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1";

/// Takes a value, and leaves an empty one; none where the server is full and takes nothing in.
pub(super) const BURY: &str = "\
local now = redis.call('GET', KEYS[1])
if redis.pcall('SET', KEYS[1], '', 'PX', ARGV[1])['err'] then redis.call('DEL', KEYS[1]) end
return now";

/// Removes a value that is the expected one.
pub(super) const REMOVE_IF: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";

/// Files a member with a score, after dropping the lower scores.
pub(super) const FILE: &str = "\
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[3])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return redis.call('ZCARD', KEYS[1])";

/// Bytes of an entry's number.
pub(super) const NUMBER: usize = 20;

/// Adds an entry under the next number, which is also its first twenty bytes, so that no two are alike; of
/// more than so many the oldest go.
pub(super) const APPEND: &str = "\
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local number = tonumber(last[2] or '0') + 1
redis.call('ZADD', KEYS[1], number, string.format('%020d', number) .. ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1";

/// The number of the last entry.
pub(super) const POSITION: &str = "\
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return tonumber(last[2] or '0')";

/// A call of `script` about `key`. Its text goes along each time: they are short, and no server has to
/// know them from before.
pub(super) fn call(script: &str, key: &str, arguments: impl FnOnce(&mut Cmd)) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(script).arg(1).arg(key);
    arguments(&mut command);
    command
}
