;; A vat in a few hundred bytes, for tests that start thousands of them: it speaks the borsh ABI of `capstan-abi`.
;;
;; It plays every part of a small chain. Told `bootstrap`, it remembers the objects it was given and tells them all to
;; `meet`; asked to `provision` an account, it answers with the next of them. What it does on a message is chosen by the
;; first letter of the method:
;;
;;   i(ncrement)  counts, writes the count under one of 64 keys, answers with it
;;   g(row)       writes 40 keys          e(rase)  deletes them
;;   f(orward)    sends `increment` to one of the objects it has met, and subscribes to the answer
;;   w(ork)       computes for a while    r(efuse) answers by a rejection
;;   d(ie)        traps                   x        exits
;;
;; Memory: 0 constants, 0x400 what it has met (count, then strings in borsh), 0x1000 what it sends, 0x10000 the delivery.
(module
  (import "capstan" "syscall" (func $host_syscall (param i32 i32) (result i32)))
  (import "capstan" "take_result" (func $take_result (param i32)))
  (import "capstan" "done" (func $done (param i32 i32)))
  (memory (export "memory") 8 8)
  (global $count (mut i64) (i64.const 0))
  (global $given (mut i32) (i32.const 0))
  (global $promises (mut i64) (i64.const 5))
  (global $out (mut i32) (i32.const 0x1000))
  (global $rest (mut i32) (i32.const 0))
  (global $result (mut i32) (i32.const 0))
  (global $result_length (mut i32) (i32.const 0))
  (data (i32.const 16) "#[\"meet\",[]]")
  (data (i32.const 32) "#[\"increment\",[]]")
  (data (i32.const 64) "#\"$0.Alleged: actor\"")
  (data (i32.const 96) "#{\"#error\":\"refused\",\"name\":\"Error\"}")
  (data (i32.const 160) "#\"#undefined\"")

  ;; What is sent is put together at $out.
  (func $put8 (param i32)
    (i32.store8 (global.get $out) (local.get 0))
    (global.set $out (i32.add (global.get $out) (i32.const 1))))
  (func $put32 (param i32)
    (i32.store (global.get $out) (local.get 0))
    (global.set $out (i32.add (global.get $out) (i32.const 4))))
  (func $put_bytes (param $from i32) (param $length i32)
    (memory.copy (global.get $out) (local.get $from) (local.get $length))
    (global.set $out (i32.add (global.get $out) (local.get $length))))
  (func $put_text (param $from i32) (param $length i32)
    (call $put32 (local.get $length))
    (call $put_bytes (local.get $from) (local.get $length)))
  (func $put_digits (param $number i64)
    (if (i64.ge_u (local.get $number) (i64.const 10))
      (then (call $put_digits (i64.div_u (local.get $number) (i64.const 10)))))
    (call $put8 (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $number) (i64.const 10))))))
  ;; A text of one or two characters (0: none) and a number.
  (func $put_name (param $first i32) (param $second i32) (param $number i64)
    (local $start i32)
    (local.set $start (global.get $out))
    (call $put32 (i32.const 0))
    (call $put8 (local.get $first))
    (if (local.get $second) (then (call $put8 (local.get $second))))
    (call $put_digits (local.get $number))
    (i32.store (local.get $start)
      (i32.sub (i32.sub (global.get $out) (local.get $start)) (i32.const 4))))
  (func $begin (param $tag i32)
    (global.set $out (i32.const 0x1000))
    (call $put8 (local.get $tag)))
  (func $syscall
    (drop (call $host_syscall (i32.const 0x1000) (i32.sub (global.get $out) (i32.const 0x1000))))
    (call $take_result (i32.const 0x8000)))

  ;; The delivery is read at $rest.
  (func $take32 (result i32)
    (local $value i32)
    (local.set $value (i32.load (global.get $rest)))
    (global.set $rest (i32.add (global.get $rest) (i32.const 4)))
    (local.get $value))
  ;; Leaves where the text begins; its length is 4 bytes before.
  (func $take_text (result i32)
    (local $length i32) (local $start i32)
    (local.set $length (call $take32))
    (local.set $start (global.get $rest))
    (global.set $rest (i32.add (global.get $rest) (local.get $length)))
    (local.get $start))

  ;; Where the borsh string of the $index-th object it has met begins.
  (func $friend (param $index i32) (result i32)
    (local $at i32)
    (local.set $at (i32.const 0x404))
    (block $found
      (loop $next
        (br_if $found (i32.eqz (local.get $index)))
        (local.set $index (i32.sub (local.get $index) (i32.const 1)))
        (local.set $at (i32.add (i32.add (local.get $at) (i32.const 4)) (i32.load (local.get $at))))
        (br $next)))
    (local.get $at))
  (func $put_friend (param $index i32)
    (local $at i32)
    (local.set $at (call $friend (local.get $index)))
    (call $put_bytes (local.get $at) (i32.add (i32.const 4) (i32.load (local.get $at)))))
  (func $friends (result i32) (i32.load (i32.const 0x400)))
  (func $put_friends
    (call $put_bytes (i32.const 0x400)
      (i32.sub (call $friend (call $friends)) (i32.const 0x400))))

  ;; Remembers the objects among the slots at $rest, if there are any.
  (func $meet
    (local $slots i32) (local $at i32) (local $text i32) (local $size i32)
    (local.set $slots (call $take32))
    (if (i32.eqz (local.get $slots)) (then (return)))
    (i32.store (i32.const 0x400) (i32.const 0))
    (local.set $at (i32.const 0x404))
    (loop $next
      (local.set $text (call $take_text))
      (if (i32.eq (i32.load8_u (local.get $text)) (i32.const 111)) ;; o
        (then
          (local.set $size (i32.add (i32.const 4) (i32.load (i32.sub (local.get $text) (i32.const 4)))))
          (memory.copy (local.get $at) (i32.sub (local.get $text) (i32.const 4)) (local.get $size))
          (local.set $at (i32.add (local.get $at) (local.get $size)))
          (i32.store (i32.const 0x400) (i32.add (i32.load (i32.const 0x400)) (i32.const 1)))))
      (local.set $slots (i32.sub (local.get $slots) (i32.const 1)))
      (br_if $next (local.get $slots))))

  ;; Syscall::Send of `meet` with all objects to each of them.
  (func $introduce
    (local $index i32)
    (loop $next
      (call $begin (i32.const 0))
      (call $put_friend (local.get $index))
      (call $put_text (i32.const 16) (i32.const 12))
      (call $put_friends)
      (call $put8 (i32.const 0))
      (call $syscall)
      (local.set $index (i32.add (local.get $index) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $index) (call $friends)))))

  ;; Syscall::Send of `increment` to one of them, Syscall::Subscribe to its answer.
  (func $forward
    (if (i32.eqz (call $friends)) (then (return)))
    (global.set $promises (i64.add (global.get $promises) (i64.const 1)))
    (call $begin (i32.const 0))
    (call $put_friend (i32.rem_u (i32.wrap_i64 (global.get $count)) (call $friends)))
    (call $put_text (i32.const 32) (i32.const 17))
    (call $put32 (i32.const 0))
    (call $put8 (i32.const 1))
    (call $put_name (i32.const 112) (i32.const 43) (global.get $promises)) ;; p+
    (call $syscall)
    (call $begin (i32.const 2))
    (call $put_name (i32.const 112) (i32.const 43) (global.get $promises))
    (call $syscall))

  ;; Syscall::VatstoreSet of the count under a letter and a number.
  (func $store (param $letter i32) (param $number i64)
    (call $begin (i32.const 7))
    (call $put_name (local.get $letter) (i32.const 0) (local.get $number))
    (call $put_name (i32.const 35) (i32.const 0) (global.get $count))
    (call $syscall))
  (func $grow
    (local $index i64)
    (loop $next
      (call $store (i32.const 103) (local.get $index))
      (local.set $index (i64.add (local.get $index) (i64.const 1)))
      (br_if $next (i64.lt_u (local.get $index) (i64.const 40)))))
  (func $erase
    (local $index i64)
    (loop $next
      (call $begin (i32.const 8))
      (call $put_name (i32.const 103) (i32.const 0) (local.get $index))
      (call $syscall)
      (local.set $index (i64.add (local.get $index) (i64.const 1)))
      (br_if $next (i64.lt_u (local.get $index) (i64.const 40)))))
  (func $work
    (local $left i32)
    (local.set $left (i32.const 500000))
    (loop $next
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $next (local.get $left))))

  ;; Syscall::Resolve up to the data, which the caller adds. Without a promise to settle, nothing may be added.
  (func $begin_answer (param $rejected i32)
    (call $begin (i32.const 3))
    (call $put32 (i32.const 1))
    (call $put_text (global.get $result) (global.get $result_length))
    (call $put8 (local.get $rejected)))
  (func $answer_text (param $rejected i32) (param $text i32) (param $length i32)
    (call $begin_answer (local.get $rejected))
    (call $put_text (local.get $text) (local.get $length))
    (call $put32 (i32.const 0))
    (call $syscall))
  ;; #"+COUNT"
  (func $answer_count
    (local $start i32)
    (call $begin_answer (i32.const 0))
    (local.set $start (global.get $out))
    (call $put32 (i32.const 0))
    (call $put8 (i32.const 35)) (call $put8 (i32.const 34)) (call $put8 (i32.const 43))
    (call $put_digits (global.get $count))
    (call $put8 (i32.const 34))
    (i32.store (local.get $start) (i32.sub (i32.sub (global.get $out) (local.get $start)) (i32.const 4)))
    (call $put32 (i32.const 0))
    (call $syscall))
  (func $answer_friend
    (if (i32.eqz (call $friends)) (then
      (call $answer_text (i32.const 0) (i32.const 160) (i32.const 13)) (return)))
    (call $begin_answer (i32.const 0))
    (call $put_text (i32.const 64) (i32.const 20))
    (call $put32 (i32.const 1))
    (call $put_friend (i32.rem_u (global.get $given) (call $friends)))
    (call $syscall)
    (global.set $given (i32.add (global.get $given) (i32.const 1))))

  (func $message
    (local $method i32) (local $slots i32) (local $left i32)
    (drop (call $take_text))
    (local.set $method (i32.load8_u (i32.add (call $take_text) (i32.const 3))))
    (local.set $slots (global.get $rest))
    (local.set $left (call $take32))
    (block $passed
      (loop $next
        (br_if $passed (i32.eqz (local.get $left)))
        (drop (call $take_text))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
    (global.set $result (i32.const 0))
    (if (i32.load8_u (global.get $rest)) (then
      (global.set $rest (i32.add (global.get $rest) (i32.const 1)))
      (global.set $result (call $take_text))
      (global.set $result_length (i32.load (i32.sub (global.get $result) (i32.const 4))))))
    (global.set $count (i64.add (global.get $count) (i64.const 1)))
    (global.set $rest (local.get $slots))
    (if (i32.eq (local.get $method) (i32.const 98)) (then ;; bootstrap
      (call $meet)
      (if (call $friends) (then (call $introduce)))))
    (if (i32.eq (local.get $method) (i32.const 109)) (then (call $meet)))
    (if (i32.eq (local.get $method) (i32.const 105)) (then ;; increment
      (call $store (i32.const 107) (i64.rem_u (global.get $count) (i64.const 64)))))
    (if (i32.eq (local.get $method) (i32.const 103)) (then (call $grow)))
    (if (i32.eq (local.get $method) (i32.const 101)) (then (call $erase)))
    (if (i32.eq (local.get $method) (i32.const 102)) (then (call $forward)))
    (if (i32.eq (local.get $method) (i32.const 119)) (then (call $work)))
    (if (i32.eq (local.get $method) (i32.const 100)) (then (unreachable))) ;; die
    (if (i32.eq (local.get $method) (i32.const 120)) (then ;; Syscall::Exit
      (call $begin (i32.const 4))
      (call $put8 (i32.const 0))
      (call $put_text (i32.const 160) (i32.const 13))
      (call $put32 (i32.const 0))
      (call $syscall)))
    (if (i32.eqz (global.get $result)) (then (return)))
    (if (i32.eq (local.get $method) (i32.const 112)) (then (call $answer_friend) (return))) ;; provision
    (if (i32.eq (local.get $method) (i32.const 114)) (then ;; refuse
      (call $answer_text (i32.const 1) (i32.const 96) (i32.const 36)) (return)))
    (call $answer_count))

  (func (export "capstan_abi") (result i32) (i32.const 1))
  (func (export "capstan_alloc") (param i32) (result i32) (i32.const 0x10000))
  (func (export "capstan_deliver") (param $at i32) (param $length i32)
    (global.set $rest (i32.add (local.get $at) (i32.const 1)))
    (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 1)) (then (call $message)))
    ;; DeliveryResult::Ok is a zero byte.
    (i32.store8 (i32.const 8) (i32.const 0))
    (call $done (i32.const 8) (i32.const 1))))
