//! Hostile uses of the host's functions: console lines, and syscalls with the smallest and the largest arguments.

use anyhow::{Result, anyhow};
use capstan_abi::{CapData, Message, Syscall};

use super::pattern::{Pattern, looped};

/// Address of a syscall in the memory.
const AT: u32 = 0x3_0000;

/// Returns the patterns.
pub(super) fn patterns() -> Result<Vec<Pattern>> {
    let text = |length: usize| "v".repeat(length);
    let key = |length: usize| "k".repeat(length);
    let set =
        |key: String, value: String| Syscall::VatstoreSet { key: key.into(), value: value.into() };
    let get = |key: String| Syscall::VatstoreGet { key: key.into() };
    let next = |key: String| Syscall::VatstoreGetNextKey { prior: key.into() };
    let delete = |key: String| Syscall::VatstoreDelete { key: key.into() };
    let send = |length: usize| Syscall::Send {
        target: "o+0".to_owned(),
        message: Message {
            methargs: CapData { body: format!("#[\"x\",[\"{}\"]]", text(length)), slots: vec![] },
            result: None,
        },
    };
    let large = 100_000;
    Ok(vec![
        lines("console lines of no length", 2_000, 0),
        lines("console lines of 4 KiB", 500, 4_096),
        lines("console lines of 64 KiB, which are cut", 100, 65_536),
        syscalls("gets of a short key", 2_000, &[get(key(1))])?,
        syscalls("gets of a long key", 500, &[get(key(1_000))])?,
        syscalls("gets of 100 kB", 200, &[set(key(2), text(large)), get(key(2))])?,
        syscalls("sets of a short value", 2_000, &[set(key(1), text(1))])?,
        syscalls("sets of 100 kB", 100, &[set(key(1), text(large))])?,
        syscalls("sets and deletes of a key", 1_000, &[set(key(1), text(1)), delete(key(1))])?,
        syscalls("deletes of a key that is not there", 2_000, &[delete(key(3))])?,
        syscalls("next keys", 2_000, &[next(key(1))])?,
        syscalls("messages to itself", 200, &[send(1)])?,
        syscalls("messages of 100 kB to itself", 20, &[send(large)])?,
    ])
}

fn lines(name: &str, count: u32, length: u32) -> Pattern {
    Pattern::new(
        name,
        looped(count, &format!("(call $log (i32.const 2) (i32.const {AT}) (i32.const {length}))")),
    )
    .with_items(format!("(data (i32.const {AT}) \"{}\")", "m".repeat(length as usize)))
    .with_memory(16, 16)
}

/// The syscalls one after the other, `count` times. Results are taken.
fn syscalls(name: &str, count: u32, syscalls: &[Syscall]) -> Result<Pattern> {
    let (mut items, mut turn, mut at) = (String::new(), String::new(), AT);
    for syscall in syscalls {
        let bytes = borsh::to_vec(syscall).map_err(|e| anyhow!("{e}"))?;
        let text: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        items.push_str(&format!("(data (i32.const {at}) \"{text}\")\n"));
        turn.push_str(&format!(
            "(drop (call $syscall (i32.const {at}) (i32.const {}))) (call $take_result (i32.const 0x80000))\n",
            bytes.len()
        ));
        at += bytes.len() as u32;
    }
    Ok(Pattern::new(name, looped(count, &turn)).with_items(items).with_memory(16, 16))
}
