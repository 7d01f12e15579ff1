;; One of two vats that play ping-pong: the wasm counterpart of vat-player.js. It speaks the borsh ABI of `capstan-abi`.
;;
;; By the first letter of the method: m(eet) remembers the other one, s(erve) begins a game of 5,000 hits, h(it) sends
;; the b(al)l back. As in JavaScript, a hit has a result that its sender subscribes to, and the one who is hit resolves it.
;;
;; Memory: 0 constants, 0x400 the other one (a string in borsh), 0x1000 what it sends, 0x10000 the delivery.
(module
  (import "capstan" "syscall" (func $host_syscall (param i32 i32) (result i32)))
  (import "capstan" "take_result" (func $take_result (param i32)))
  (import "capstan" "done" (func $done (param i32 i32)))
  (memory (export "memory") 8 8)
  (data (i32.const 16) "#[\"hit\",[]]")
  (data (i32.const 48) "#[\"bal\",[]]")
  (data (i32.const 32) "#\"#undefined\"")
  (global $left (mut i32) (i32.const 0))
  (global $promises (mut i64) (i64.const 5))
  (global $out (mut i32) (i32.const 0))
  (global $rest (mut i32) (i32.const 0))

  (func $put8 (param i32)
    (i32.store8 (global.get $out) (local.get 0))
    (global.set $out (i32.add (global.get $out) (i32.const 1))))
  (func $put32 (param i32)
    (i32.store (global.get $out) (local.get 0))
    (global.set $out (i32.add (global.get $out) (i32.const 4))))
  (func $put_bytes (param $from i32) (param $length i32)
    (memory.copy (global.get $out) (local.get $from) (local.get $length))
    (global.set $out (i32.add (global.get $out) (local.get $length))))
  ;; A string in borsh, from where another one is.
  (func $put_string (param $at i32)
    (call $put_bytes (local.get $at) (i32.add (i32.const 4) (i32.load (local.get $at)))))
  (func $put_digits (param $number i64)
    (if (i64.ge_u (local.get $number) (i64.const 10))
      (then (call $put_digits (i64.div_u (local.get $number) (i64.const 10)))))
    (call $put8 (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $number) (i64.const 10))))))
  ;; p+NUMBER
  (func $put_promise
    (local $start i32)
    (local.set $start (global.get $out))
    (call $put32 (i32.const 0))
    (call $put8 (i32.const 112))
    (call $put8 (i32.const 43))
    (call $put_digits (global.get $promises))
    (i32.store (local.get $start)
      (i32.sub (i32.sub (global.get $out) (local.get $start)) (i32.const 4))))
  (func $begin (param $tag i32)
    (global.set $out (i32.const 0x1000))
    (call $put8 (local.get $tag)))
  (func $syscall
    (drop (call $host_syscall (i32.const 0x1000) (i32.sub (global.get $out) (i32.const 0x1000))))
    (call $take_result (i32.const 0x8000)))

  ;; Leaves where the string at $rest begins, and goes on behind it.
  (func $take_string (result i32)
    (local $start i32)
    (local.set $start (global.get $rest))
    (global.set $rest
      (i32.add (i32.add (local.get $start) (i32.const 4)) (i32.load (local.get $start))))
    (local.get $start))

  ;; Syscall::Send of a method, Syscall::Subscribe to its result.
  (func $send (param $methargs i32)
    (global.set $promises (i64.add (global.get $promises) (i64.const 1)))
    (call $begin (i32.const 0))
    (call $put_string (i32.const 0x400))
    (call $put32 (i32.const 11))
    (call $put_bytes (local.get $methargs) (i32.const 11))
    (call $put32 (i32.const 0))
    (call $put8 (i32.const 1))
    (call $put_promise)
    (call $syscall)
    (call $begin (i32.const 2))
    (call $put_promise)
    (call $syscall))

  (func $hit
    (if (i32.eqz (global.get $left)) (then (return)))
    (global.set $left (i32.sub (global.get $left) (i32.const 1)))
    (call $send (i32.const 16)))

  ;; Syscall::Resolve of the promise at $result to undefined.
  (func $answer (param $result i32)
    (call $begin (i32.const 3))
    (call $put32 (i32.const 1))
    (call $put_string (local.get $result))
    (call $put8 (i32.const 0))
    (call $put32 (i32.const 13))
    (call $put_bytes (i32.const 32) (i32.const 13))
    (call $put32 (i32.const 0))
    (call $syscall))

  (func $message
    (local $method i32) (local $slots i32) (local $slot i32)
    (drop (call $take_string))
    (local.set $method (i32.load8_u (i32.add (call $take_string) (i32.const 7))))
    (local.set $slots (i32.load (global.get $rest)))
    (global.set $rest (i32.add (global.get $rest) (i32.const 4)))
    (block $passed
      (loop $next
        (br_if $passed (i32.eqz (local.get $slots)))
        (local.set $slot (call $take_string))
        (local.set $slots (i32.sub (local.get $slots) (i32.const 1)))
        (br $next)))
    (if (i32.load8_u (global.get $rest))
      (then (call $answer (i32.add (global.get $rest) (i32.const 1)))))
    (if (i32.eq (local.get $method) (i32.const 109)) (then ;; meet
      (memory.copy (i32.const 0x400) (local.get $slot)
        (i32.add (i32.const 4) (i32.load (local.get $slot))))))
    (if (i32.eq (local.get $method) (i32.const 115)) (then ;; serve
      (global.set $left (i32.const 5000))
      (call $hit)))
    (if (i32.eq (local.get $method) (i32.const 104)) (then (call $send (i32.const 48)))) ;; hit
    (if (i32.eq (local.get $method) (i32.const 98)) (then (call $hit)))) ;; back

  (func (export "capstan_abi") (result i32) (i32.const 1))
  (func (export "capstan_alloc") (param i32) (result i32) (i32.const 0x10000))
  (func (export "capstan_deliver") (param $at i32) (param $length i32)
    (global.set $rest (i32.add (local.get $at) (i32.const 1)))
    (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 1)) (then (call $message)))
    ;; DeliveryResult::Ok is a zero byte.
    (call $done (i32.const 8) (i32.const 1))))
