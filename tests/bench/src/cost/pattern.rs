//! Vats in wasm that do one thing again and again.

/// A loop, in a module of its own.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) name: String,
    /// What its delivery does, in the text format.
    body: String,
    /// What the module has besides.
    items: String,
    /// The memory's initial size and maximum, in pages of 64 KiB.
    memory: (u32, u32),
    /// Is true if each measurement is the first delivery of a new vat, with its start.
    pub(super) is_fresh: bool,
}

impl Pattern {
    pub(super) fn new(name: impl Into<String>, body: String) -> Self {
        Self { name: name.into(), body, items: String::new(), memory: (2, 16), is_fresh: false }
    }

    pub(super) fn with_items(mut self, items: String) -> Self {
        self.items = items;
        self
    }

    pub(super) fn with_memory(mut self, initial: u32, maximum: u32) -> Self {
        self.memory = (initial, maximum);
        self
    }

    pub(super) fn fresh(mut self) -> Self {
        self.is_fresh = true;
        self
    }

    /// Returns the name of its row.
    pub(super) fn row_name(&self) -> String {
        format!("hostile: {}", self.name)
    }

    /// Returns the module. A delivery lies at 8. A short one leaves all lines of 64 bytes the first word.
    pub(super) fn module(&self) -> Result<Vec<u8>, wat::Error> {
        let Self { body, items, memory: (initial, maximum), .. } = self;
        wat::parse_str(format!(
            r#"(module
  (import "capstan" "syscall" (func $syscall (param i32 i32) (result i32)))
  (import "capstan" "take_result" (func $take_result (param i32)))
  (import "capstan" "done" (func $done (param i32 i32)))
  (import "capstan" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") {initial} {maximum})
  (global $g (mut i32) (i32.const 1))
  {items}
  (func (export "capstan_abi") (result i32) i32.const 1)
  (func (export "capstan_alloc") (param i32) (result i32) i32.const 8)
  (func $work
    (local $n i32) (local $i i32) (local $j i32) (local $x i64) (local $y i64)
    (local $f f64) (local $g f64)
    (local.set $i (i32.const 12345)) (local.set $j (i32.const 3))
    (local.set $x (i64.const 6364136223846793005)) (local.set $y (i64.const 3))
    (local.set $f (f64.const 1.5))
    {body})
  (func (export "capstan_deliver") (param $at i32) (param $length i32)
    ;; A message whose method begins with w. Its body follows the target's name.
    (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 1)) (then
      (if (i32.eq (i32.const 119) (i32.load8_u offset=12
            (i32.add (local.get $at) (i32.load offset=1 (local.get $at)))))
        (then (call $work)))))
    (i32.store8 (i32.const 60) (i32.const 0))
    (call $done (i32.const 60) (i32.const 1))))"#
        ))
    }
}

/// Returns code that runs `turn` `count` times.
pub(super) fn looped(count: u32, turn: &str) -> String {
    format!(
        "(local.set $n (i32.const {count})) (loop $next {turn}
         (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
    )
}
