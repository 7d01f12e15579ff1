;; A vat that works as it is told, by the first letter of the method: it speaks the borsh ABI of `capstan-abi`.
;;
;;   n(othing)  f(ibonacci): calls    l(oop): arithmetic    d(ivide): divisions and floating point
;;   w(alk): reads all over 16 MiB    c(opy): copies 4 MiB  s(tore): writes 100 keys  g(row): 100 new ones
;;   h(oard): 2,000 new keys          m(ix): writes 100 keys at random among those that grew  v(iew): reads 100 of them
(module
  (import "capstan" "syscall" (func $host_syscall (param i32 i32) (result i32)))
  (import "capstan" "take_result" (func $take_result (param i32)))
  (import "capstan" "done" (func $done (param i32 i32)))
  (memory (export "memory") 300 300)
  ;; Syscall::VatstoreSet of a key of 8 bytes and a value of 32.
  (data (i32.const 0x100) "\07\08\00\00\00key.0000\20\00\00\00abcdefghijklmnopqrstuvwxyz012345")
  (func $fibonacci (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add (call $fibonacci (i32.sub (local.get 0) (i32.const 1)))
                     (call $fibonacci (i32.sub (local.get 0) (i32.const 2)))))))
  (func $loop
    (local $left i32) (local $hash i32)
    (local.set $left (i32.const 2000000))
    (loop $next
      (local.set $hash (i32.xor (i32.mul (local.get $hash) (i32.const 16777619)) (local.get $left)))
      (local.set $hash (i32.add (i32.shl (local.get $hash) (i32.const 3)) (i32.const 12345)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $next (local.get $left)))
    (i32.store (i32.const 0x400) (local.get $hash)))
  (func $divide
    (local $left i32) (local $sum f64) (local $whole i64)
    (local.set $left (i32.const 500000))
    (loop $next
      (local.set $sum (f64.sqrt (f64.add (local.get $sum)
        (f64.div (f64.const 1234.5) (f64.convert_i32_u (local.get $left))))))
      (local.set $whole (i64.add (local.get $whole)
        (i64.rem_u (i64.const 0x123456789abcdef) (i64.extend_i32_u (local.get $left)))))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $next (local.get $left)))
    (f64.store (i32.const 0x400) (local.get $sum))
    (i64.store (i32.const 0x408) (local.get $whole)))
  (func $walk
    (local $left i32) (local $at i32)
    (local.set $left (i32.const 1000000))
    (loop $next
      (local.set $at (i32.add (i32.mul (local.get $at) (i32.const 1664525)) (i32.const 1013904223)))
      (local.set $at (i32.add (local.get $at)
        (i32.load (i32.add (i32.const 0x20000) (i32.shr_u (local.get $at) (i32.const 8))))))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $next (local.get $left)))
    (i32.store (i32.const 0x400) (local.get $at)))
  (func $copy
    (local $left i32)
    (local.set $left (i32.const 16))
    (loop $next
      (memory.copy (i32.const 0x20000) (i32.const 0x820000) (i32.const 0x400000))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $next (local.get $left))))
  (func $store
    (local $left i32)
    (local.set $left (i32.const 100))
    (loop $next
      (i32.store8 (i32.const 0x109) (i32.add (i32.const 48) (i32.rem_u (local.get $left) (i32.const 10))))
      (i32.store8 (i32.const 0x10a) (i32.add (i32.const 48) (i32.div_u (local.get $left) (i32.const 10))))
      (i32.store (i32.const 0x120) (i32.add (i32.load (i32.const 0x120)) (i32.const 1)))
      (i32.store (i32.const 0x120) (i32.and (i32.load (i32.const 0x120)) (i32.const 0x3f3f3f3f)))
      (drop (call $host_syscall (i32.const 0x100) (i32.const 49)))
      (call $take_result (i32.const 0x800))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $next (local.get $left))))
  ;; Syscall::VatstoreSet of a key of 12 bytes and a value of 32.
  (data (i32.const 0x200) "\07\0c\00\00\00key.00000000\20\00\00\00abcdefghijklmnopqrstuvwxyz012345")
  ;; Syscall::VatstoreGet of a key of 12 bytes.
  (data (i32.const 0x300) "\06\0c\00\00\00key.00000000")
  (global $grown (mut i32) (i32.const 0))
  (global $random (mut i32) (i32.const 12345))
  ;; Writes a number as the digits of a key that ends at $at.
  (func $digits (param $number i32) (param $at i32)
    (local $left i32)
    (local.set $left (i32.const 8))
    (loop $digit
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
      (local.set $number (i32.div_u (local.get $number) (i32.const 10)))
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (br_if $digit (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
  (func $grow (param $left i32)
    (loop $next
      (global.set $grown (i32.add (global.get $grown) (i32.const 1)))
      (call $digits (global.get $grown) (i32.const 0x210))
      (drop (call $host_syscall (i32.const 0x200) (i32.const 53)))
      (call $take_result (i32.const 0x800))
      (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
  (func $any (result i32)
    (global.set $random (i32.add (i32.mul (global.get $random) (i32.const 1664525)) (i32.const 1013904223)))
    (i32.add (i32.const 1) (i32.rem_u (i32.shr_u (global.get $random) (i32.const 8)) (global.get $grown))))
  (func $mix
    (local $left i32)
    (local.set $left (i32.const 100))
    (loop $next
      (call $digits (call $any) (i32.const 0x210))
      ;; Eight letters of the value, which differ each time.
      (call $digits (global.get $random) (i32.const 0x21c))
      (drop (call $host_syscall (i32.const 0x200) (i32.const 53)))
      (call $take_result (i32.const 0x800))
      (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
  (func $view
    (local $left i32)
    (local.set $left (i32.const 100))
    (loop $next
      (call $digits (call $any) (i32.const 0x310))
      (drop (call $host_syscall (i32.const 0x300) (i32.const 17)))
      (call $take_result (i32.const 0x800))
      (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
  (func $message (param $at i32)
    (local $method i32)
    ;; The target's length and text, then that of the body, which begins with #[" and the method.
    (local.set $at (i32.add (local.get $at) (i32.add (i32.const 4) (i32.load (local.get $at)))))
    (local.set $method (i32.load8_u (i32.add (local.get $at) (i32.const 7))))
    (if (i32.eq (local.get $method) (i32.const 102)) (then (drop (call $fibonacci (i32.const 24)))))
    (if (i32.eq (local.get $method) (i32.const 108)) (then (call $loop)))
    (if (i32.eq (local.get $method) (i32.const 100)) (then (call $divide)))
    (if (i32.eq (local.get $method) (i32.const 119)) (then (call $walk)))
    (if (i32.eq (local.get $method) (i32.const 99)) (then (call $copy)))
    (if (i32.eq (local.get $method) (i32.const 115)) (then (call $store)))
    (if (i32.eq (local.get $method) (i32.const 103)) (then (call $grow (i32.const 100))))
    (if (i32.eq (local.get $method) (i32.const 104)) (then (call $grow (i32.const 2000))))
    (if (i32.eq (local.get $method) (i32.const 109)) (then (call $mix)))
    (if (i32.eq (local.get $method) (i32.const 118)) (then (call $view))))
  (func (export "capstan_abi") (result i32) (i32.const 1))
  (func (export "capstan_alloc") (param i32) (result i32) (i32.const 0x10000))
  (func (export "capstan_deliver") (param $at i32) (param $length i32)
    (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 1))
      (then (call $message (i32.add (local.get $at) (i32.const 1)))))
    ;; DeliveryResult::Ok is a zero byte.
    (call $done (i32.const 8) (i32.const 1))))
