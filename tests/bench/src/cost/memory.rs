//! Hostile uses of the memory: addresses that no cache has, pages that were never touched, and bulk operations.

use super::pattern::{Pattern, looped};

const MIB: u32 = 16;

/// Steps of a random number generator with the period of all 32-bit numbers.
const RANDOM: &str =
    "(local.set $i (i32.add (i32.mul (local.get $i) (i32.const 1664525)) (i32.const 1013904223)))";

/// Returns the patterns.
pub(super) fn patterns() -> Vec<Pattern> {
    let mut all = Vec::new();
    for (name, bytes_log2, pages) in [
        ("16 KiB", 14, 2),
        ("1 MiB", 20, MIB),
        ("2 MiB", 21, 2 * MIB),
        ("4 MiB", 22, 4 * MIB),
        ("16 MiB", 24, 16 * MIB),
        ("64 MiB", 26, 64 * MIB),
        ("256 MiB", 28, 256 * MIB),
    ] {
        all.extend(anywhere(name, bytes_log2, pages));
    }
    all.extend(odd());
    all.extend(bulk());
    all
}

/// Accesses all over `1 << bytes_log2` bytes of a memory of `pages`.
fn anywhere(size: &str, bytes_log2: u32, pages: u32) -> Vec<Pattern> {
    let shift = 32 - bytes_log2;
    // Multiples of 16 below the size.
    let mask = ((1_u64 << bytes_log2) - 16) as u32;
    // The loaded word is zero. The address of the next access still has to wait for it.
    let dependent = "local.get $i local.get $i i32.const SHIFT i32.shr_u i32.const MASK i32.and i32.load i32.add \
        i32.const 1664525 i32.mul i32.const 1013904223 i32.add local.set $i\n"
        .replace("SHIFT", &shift.to_string())
        .replace("MASK", &mask.to_string());
    // Words that point to each other.
    let fill =
        "(if (i32.eqz (global.get $ready)) (then (global.set $ready (i32.const 1)) (call $link)))";
    let link = link(bytes_log2);
    let chase = "i32.load ".repeat(64);
    let store = format!(
        "{RANDOM} (i32.store (i32.and (i32.shr_u (local.get $i) (i32.const {shift})) (i32.const {mask})) (i32.const 0))\n"
    );
    vec![
        Pattern::new(
            format!("dependent reads all over {size}"),
            looped(20_000, &dependent.repeat(16)),
        )
        .with_memory(pages, pages),
        Pattern::new(
            format!("a chain of pointers all over {size}"),
            format!(
                "{fill} (local.set $j (i32.const 64)) {}",
                looped(2_000, &format!("local.get $j {chase} local.set $j"))
            ),
        )
        .with_items(link)
        .with_memory(pages, pages),
        Pattern::new(format!("writes all over {size}"), looped(20_000, &store.repeat(16)))
            .with_memory(pages, pages),
    ]
}

/// A function that links the lines of the memory in a random order, each to the next. A generator with
/// the period of all lines gives the order.
fn link(bytes_log2: u32) -> String {
    let lines = 1_u32 << (bytes_log2 - 6);
    format!(
        "(global $ready (mut i32) (i32.const 0))
         (func $link (local $n i32) (local $line i32) (local $to i32)
           (local.set $n (i32.const {lines}))
           (loop $next
             (local.set $to (i32.and (i32.add (i32.mul (local.get $line) (i32.const 1664525)) (i32.const 1013904223)) (i32.const {})))
             (i32.store (i32.shl (local.get $line) (i32.const 6)) (i32.shl (local.get $to) (i32.const 6)))
             (local.set $line (local.get $to))
             (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))",
        lines - 1
    )
}

/// Accesses that a processor splits or delays.
fn odd() -> Vec<Pattern> {
    let across = "local.get $j i32.load offset=4094 i32.const 0 i32.and local.set $j\n";
    let stalled = "(i64.store offset=256 (i32.const 0) (local.get $x)) (i32.store8 offset=259 (i32.const 0) (i32.const 7)) \
        (local.set $x (i64.load offset=256 (i32.const 0)))\n";
    let split = "(i64.store offset=8188 (i32.const 0) (local.get $x)) (local.set $x (i64.load offset=8188 (i32.const 0)))\n";
    let float = "(f64.store offset=256 (i32.const 0) (local.get $f)) (local.set $f (f64.load offset=256 (i32.const 0)))\n";
    let word = "(i64.store offset=256 (i32.const 0) (local.get $x)) (local.set $x (i64.load offset=256 (i32.const 0)))\n";
    vec![
        Pattern::new("reads across two pages", looped(20_000, &across.repeat(32))),
        Pattern::new("writes of a byte, then reads of eight", looped(20_000, &stalled.repeat(32))),
        Pattern::new("writes and reads across two lines", looped(20_000, &split.repeat(32))),
        Pattern::new("writes and reads of one word", looped(20_000, &word.repeat(32))),
        Pattern::new("writes and reads of one float", looped(20_000, &float.repeat(32))),
        Pattern::new(
            "reads of one word",
            looped(20_000, &"(drop (i32.load offset=256 (i32.const 0)))\n".repeat(64)),
        ),
        Pattern::new(
            "reads in turn",
            looped(
                20_000,
                &"(local.set $i (i32.add (local.get $i) (i32.load offset=256 (local.get $j))))\n"
                    .repeat(64),
            ),
        ),
    ]
}

/// Bulk operations of no length, of some and of much, and new pages.
fn bulk() -> Vec<Pattern> {
    let fill = |length: u32| {
        format!("(memory.fill (i32.const 8192) (i32.const 7) (i32.const {length}))\n")
    };
    let copy = |to: u32, length: u32| {
        format!("(memory.copy (i32.const {to}) (i32.const 8192) (i32.const {length}))\n")
    };
    let (big, large) = (16 * MIB, 16 * MIB * 65_536 - 16_384);
    let touch = |step: u32| {
        format!(
            "(local.set $j (i32.const 8192)) {}",
            looped(
                16 * MIB * 65_536 / step - 4,
                &format!(
                    "(i32.store8 (local.get $j) (local.get $n)) (local.set $j (i32.add (local.get $j) (i32.const {step})))"
                )
            )
        )
    };
    vec![
        Pattern::new("memory.fill of no length", looped(10_000, &fill(0).repeat(16))),
        Pattern::new("memory.fill of 1 byte", looped(10_000, &fill(1).repeat(16))),
        Pattern::new("memory.fill of 100 bytes", looped(10_000, &fill(100).repeat(16))),
        Pattern::new("memory.fill of 256 bytes", looped(5_000, &fill(256).repeat(16))),
        Pattern::new("memory.fill of 16 MiB", fill(large)).with_memory(big, big),
        Pattern::new("memory.copy of no length", looped(10_000, &copy(16_384, 0).repeat(16))),
        Pattern::new("memory.copy of 9 bytes", looped(10_000, &copy(16_384, 9).repeat(16))),
        Pattern::new("memory.copy of 256 bytes", looped(5_000, &copy(16_384, 256).repeat(16))),
        Pattern::new("memory.copy of 8 MiB", copy(8 * 1_048_576, large / 2)).with_memory(big, big),
        Pattern::new("memory.copy by one byte", copy(8_193, large / 2)).with_memory(big, big),
        Pattern::new("memory.grow by none", looped(10_000, &"(drop (memory.grow (i32.const 0)))".repeat(4))),
        Pattern::new("copies of 8 bytes all over 256 MiB", looped(10_000, &format!("{RANDOM} (memory.copy (i32.and (i32.shr_u (local.get $i) (i32.const 4)) (i32.const -64)) (i32.and (i32.mul (local.get $i) (i32.const 77)) (i32.const 0xfffffc0)) (i32.const 8))\n").repeat(4))).with_memory(256 * MIB, 256 * MIB),
        Pattern::new("memory.grow by a page", looped(8, "(if (i32.lt_u (memory.size) (i32.const 256)) (then (drop (memory.grow (i32.const 1)))))")).with_memory(2, 256),
        Pattern::new("writes to each page of 16 MiB", touch(4_096)).with_memory(big, big).fresh(),
        Pattern::new("growth by 16 MiB, and writes to each page", format!("(drop (memory.grow (i32.const {}))) {}", big - 2, touch(4_096))).with_memory(2, big).fresh(),
    ]
}
