;; A vat that works as it is told, by the first letter of the method: it speaks the borsh ABI of `capstan-abi`.
;;
;;   n(othing)  f(ibonacci): calls    l(oop): arithmetic    d(ivide): divisions and floating point
;;   w(alk): reads all over 16 MiB    c(opy): copies 4 MiB  s(tore): writes 100 keys  g(row): 100 new ones
;;   h(oard): 2,000 new keys          m(ix): writes 100 of these keys at random               v(iew): reads 100 of them
;;   p(romise): sends itself 500 new promises                                                 r(ecall): 500 of these at random
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
  (global $grown (mut i32) (i32.const 0))
  (func $grow
    (local $left i32) (local $rest i32) (local $at i32)
    (local.set $left (i32.const 100))
    (loop $next
      (global.set $grown (i32.add (global.get $grown) (i32.const 1)))
      (local.set $rest (global.get $grown))
      (local.set $at (i32.const 0x210))
      (loop $digit
        (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $rest) (i32.const 10))))
        (local.set $rest (i32.div_u (local.get $rest) (i32.const 10)))
        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
        (br_if $digit (local.get $rest)))
      (drop (call $host_syscall (i32.const 0x200) (i32.const 53)))
      (call $take_result (i32.const 0x800))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $next (local.get $left))))
  ;; Syscall::VatstoreSet of a key of 12 bytes and a value of 32, and Syscall::VatstoreGet of one.
  (data (i32.const 0x280) "\07\0c\00\00\00all.00000000\20\00\00\00abcdefghijklmnopqrstuvwxyz012345")
  (data (i32.const 0x300) "\06\0c\00\00\00all.00000000")
  (global $hoarded (mut i32) (i32.const 0))
  (global $random (mut i32) (i32.const 12345))
  ;; Returns eight letters that a number is scattered to.
  (func $letters (param $number i32) (result i64)
    (i64.or (i64.const 0x4040404040404040)
      (i64.and (i64.const 0x0f0f0f0f0f0f0f0f)
        (i64.mul (i64.extend_i32_u (local.get $number)) (i64.const 0x9e3779b97f4a7c15)))))
  ;; Returns the letters of any key that was hoarded.
  (func $any (result i64)
    (global.set $random (i32.add (i32.mul (global.get $random) (i32.const 1664525)) (i32.const 1013904223)))
    (call $letters (i32.rem_u (i32.shr_u (global.get $random) (i32.const 8)) (global.get $hoarded))))
  (func $hoard
    (local $left i32)
    (local.set $left (i32.const 2000))
    (loop $next
      (i64.store (i32.const 0x289) (call $letters (global.get $hoarded)))
      (global.set $hoarded (i32.add (global.get $hoarded) (i32.const 1)))
      (drop (call $host_syscall (i32.const 0x280) (i32.const 53)))
      (call $take_result (i32.const 0x800))
      (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
  (func $mix
    (local $left i32)
    (local.set $left (i32.const 100))
    (loop $next
      (i64.store (i32.const 0x289) (call $any))
      ;; Letters of the value, which differ each time.
      (i64.store (i32.const 0x295) (i64.add (i64.load (i32.const 0x289)) (i64.const 0x1010101010101010)))
      (i32.store (i32.const 0x29d) (i32.or (i32.and (global.get $random) (i32.const 0x0f0f0f0f)) (i32.const 0x40404040)))
      (drop (call $host_syscall (i32.const 0x280) (i32.const 53)))
      (call $take_result (i32.const 0x800))
      (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
  (func $view
    (local $left i32)
    (local.set $left (i32.const 100))
    (loop $next
      (i64.store (i32.const 0x309) (call $any))
      (drop (call $host_syscall (i32.const 0x300) (i32.const 17)))
      (call $take_result (i32.const 0x800))
      (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
  ;; Syscall::Send of `nothing` to the vat itself, with 500 slots of 15 bytes. The result is a zero byte after them.
  (data (i32.const 0x1200000) "\00\03\00\00\00o+0\0f\00\00\00#[\22nothing\22,[]]\f4\01\00\00")
  (global $promised (mut i32) (i32.const 0))
  (func $slot (param $at i32) (param $number i32)
    (i32.store (local.get $at) (i32.const 11))
    (i32.store (i32.add (local.get $at) (i32.const 4)) (i32.const 0x312b70)) ;; p+1
    (i64.store (i32.add (local.get $at) (i32.const 7))
      (i64.or (i64.const 0x3030303030303030)
        (i64.and (i64.const 0x0707070707070707)
          (i64.mul (i64.extend_i32_u (local.get $number)) (i64.const 0x9e3779b97f4a7c15))))))
  (func $promise (param $is_new i32)
    (local $at i32)
    (local.set $at (i32.const 0x120001f))
    (loop $next
      (if (local.get $is_new)
        (then (global.set $promised (i32.add (global.get $promised) (i32.const 1)))
              (call $slot (local.get $at) (global.get $promised)))
        (else
          (global.set $random (i32.add (i32.mul (global.get $random) (i32.const 1664525)) (i32.const 1013904223)))
          (call $slot (local.get $at) (i32.rem_u (i32.shr_u (global.get $random) (i32.const 8)) (global.get $promised)))))
      (br_if $next (i32.ne (i32.const 0x1201d6b)
        (local.tee $at (i32.add (local.get $at) (i32.const 15))))))
    (drop (call $host_syscall (i32.const 0x1200000) (i32.const 7532)))
    (call $take_result (i32.const 0x800)))
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
    (if (i32.eq (local.get $method) (i32.const 103)) (then (call $grow)))
    (if (i32.eq (local.get $method) (i32.const 104)) (then (call $hoard)))
    (if (i32.eq (local.get $method) (i32.const 109)) (then (call $mix)))
    (if (i32.eq (local.get $method) (i32.const 118)) (then (call $view)))
    (if (i32.eq (local.get $method) (i32.const 112)) (then (call $promise (i32.const 1))))
    (if (i32.eq (local.get $method) (i32.const 114)) (then (call $promise (i32.const 0)))))
  (func (export "capstan_abi") (result i32) (i32.const 1))
  (func (export "capstan_alloc") (param i32) (result i32) (i32.const 0x10000))
  (func (export "capstan_deliver") (param $at i32) (param $length i32)
    (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 1))
      (then (call $message (i32.add (local.get $at) (i32.const 1)))))
    ;; DeliveryResult::Ok is a zero byte.
    (call $done (i32.const 8) (i32.const 1))))
