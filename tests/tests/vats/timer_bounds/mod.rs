//! The timer vat: what a delivery does is bounded, however much was stored by others. Syscalls are counted, since they
//! are what grows with it.
#![allow(clippy::unwrap_used)] // tests

mod harness;

use harness::*;

#[test]
fn many_wakeups_at_one_time_are_fired_in_the_order_in_which_they_were_set() {
    let mut timer = Timer::start();
    for number in 0..10_000 {
        let handler = format!("o-{}", 1_000 + number);
        timer.send("setWakeup", "[\"+2000\",\"$0\"]", &[&handler]).body();
    }
    // Others that are earlier and later, set afterwards.
    timer.send("setWakeup", "[\"+3000\",\"$0\"]", &["o-61"]).body();
    timer.send("setWakeup", "[\"+1500\",\"$0\"]", &["o-62"]).body();
    let outcomes = timer.run_to(2_000);
    let targets: Vec<String> = woken(&outcomes).into_iter().map(|(target, _)| target).collect();
    let expected = std::iter::once("o-62".to_owned())
        .chain((0..10_000).map(|number| format!("o-{}", 1_000 + number)));
    assert!(targets.iter().cloned().eq(expected), "{} were woken", targets.len());
    assert_eq!(woken(&timer.run_to(3_000)).len(), 1);
    println!("most syscalls of a delivery: {}", timer.most);
}

#[test]
fn a_token_of_many_wakeups_cancels_them_all_and_none_fires() {
    let mut timer = Timer::start();
    for number in 0..2_000 {
        timer.set_wakeup(2_000, &format!("o-{}", 1_000 + number), TOKEN);
    }
    let service = timer.service.clone();
    let result = timer.ask(&service, "delay", "[\"+1000\",\"$0\"]", &[TOKEN]);
    timer.set_wakeup(2_000, HANDLER, "o-91");
    // All are due, and not one was fired yet, when the token is cancelled.
    *timer.now.lock().unwrap() = 2_000;
    let cancelled = timer.send("cancel", "[\"$0\"]", &[TOKEN]);
    assert!(cancelled.called().contains(&"wakeSoon"));
    // A wakeup that the same token gets now is none of those.
    timer.set_wakeup(2_500, "o-63", TOKEN);
    let mut outcomes = timer.run_to(2_000);
    assert_eq!(
        woken(&outcomes).into_iter().map(|(target, _)| target).collect::<Vec<_>>(),
        [HANDLER]
    );
    outcomes.insert(0, cancelled);
    let settled = settled(&outcomes);
    assert_eq!(settled.len(), 1, "the promise of the delay");
    assert!(settled[0].value.contains("TimerCancelled"));
    assert_eq!((settled[0].number, settled[0].rejected), (result, true));
    assert_eq!(woken(&timer.run_to(2_500)).len(), 1);
}

#[test]
fn a_token_that_is_cancelled_before_its_time_is_gone_with_all_that_it_kept() {
    let mut timer = Timer::start();
    timer.set_wakeup(5_000, HANDLER, "o-91");
    timer.vat.bring_out_your_dead();
    let before = kept(&timer);
    for number in 0..200 {
        timer.set_wakeup(2_000, &format!("o-{}", 1_000 + number), TOKEN);
    }
    timer.send("cancel", "[\"$0\"]", &[TOKEN]).body();
    timer.go_on();
    timer.vat.bring_out_your_dead();
    let after = kept(&timer);
    let left: Vec<_> = after.difference(&before).collect();
    assert_eq!(left, Vec::<&String>::new());
}

#[test]
fn wakeups_that_fire_leave_nothing() {
    let mut timer = Timer::start();
    timer.set_wakeup(5_000, HANDLER, "o-91");
    timer.vat.bring_out_your_dead();
    let before = kept(&timer);
    for number in 0..100 {
        timer.set_wakeup(2_000, &format!("o-{}", 1_000 + number), TOKEN);
        timer.send("setWakeup", "[\"+2000\",\"$0\"]", &["o-63"]).body();
    }
    assert_eq!(woken(&timer.run_to(2_000)).len(), 200);
    timer.vat.bring_out_your_dead();
    let after = kept(&timer);
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn repeaters_keep_their_rhythm_and_end_with_their_token_or_their_handler() {
    let mut timer = Timer::start();
    for number in 0..100 {
        let handler = format!("o-{}", 1_000 + number);
        let args = "[\"+10\",\"+10\",\"$0\",\"$1\"]";
        timer.send("repeatAfter", args, &[&handler, TOKEN]).body();
    }
    let first = woken(&timer.run_to(1_010));
    assert_eq!(first.len(), 100);
    assert_eq!(woken(&timer.run_to(1_020)).len(), 0, "no handler has answered");
    for (index, (_, repeater)) in first.iter().enumerate() {
        timer.answer(repeater, index % 2 == 1);
    }
    let second = woken(&timer.run_to(1_030));
    assert_eq!(second.len(), 50, "those whose handler failed have ended");
    for (_, repeater) in &second {
        timer.answer(repeater, false);
    }
    *timer.now.lock().unwrap() = 1_040;
    timer.send("cancel", "[\"$0\"]", &[TOKEN]).body();
    assert_eq!(woken(&timer.run_to(1_040)).len(), 0);
    assert_eq!(woken(&timer.run_to(2_000)).len(), 0);
}

#[test]
fn a_repeater_that_is_cancelled_while_its_handler_works_does_not_come_again() {
    let mut timer = Timer::start();
    let args = "[\"+10\",\"+10\",\"$0\",\"$1\"]";
    timer.send("repeatAfter", args, &[HANDLER, TOKEN]).body();
    let first = woken(&timer.run_to(1_010));
    timer.send("cancel", "[\"$0\"]", &[TOKEN]).body();
    timer.answer(&first[0].1, false);
    assert_eq!(woken(&timer.run_to(1_100)).len(), 0);
}

#[test]
fn another_incarnation_goes_on_with_what_was_left() {
    let mut timer = Timer::start();
    for number in 0..100 {
        timer.set_wakeup(2_000, &format!("o-{}", 1_000 + number), TOKEN);
        timer.set_wakeup(2_000, &format!("o-{}", 2_000 + number), "o-91");
    }
    *timer.now.lock().unwrap() = 2_000;
    timer.send("cancel", "[\"$0\"]", &[TOKEN]).body();
    let mut timer = Timer::over(timer.vat.vatstore().clone());
    *timer.now.lock().unwrap() = 2_000;
    // The device has the wakeup that the first incarnation set.
    timer.handlers.lock().unwrap().wakeups.insert(0, ());
    let targets = woken(&timer.run_to(2_000));
    assert_eq!(targets.len(), 100);
    assert!(targets.iter().all(|(target, _)| target.starts_with("o-2")), "{targets:?}");
}

#[test]
fn a_wakeup_that_is_lost_is_made_good_by_whoever_calls_next() {
    let mut timer = Timer::start();
    timer.set_wakeup(2_000, HANDLER, TOKEN);
    // The delivery of the device's wakeup was undone: the device has none, and the vat knows nothing of it.
    *timer.now.lock().unwrap() = 2_001;
    timer.handlers.lock().unwrap().wakeups.clear();
    timer.set_wakeup(9_000, "o-61", TOKEN);
    let targets: Vec<String> =
        woken(&timer.run_to(2_002)).into_iter().map(|(target, _)| target).collect();
    assert_eq!(targets, [HANDLER]);
}

#[test]
fn an_event_that_fails_holds_up_no_others() {
    let mut timer = Timer::start();
    for handler in ["o-61", "o-62", "o-63"] {
        timer.send("setWakeup", "[2000,\"$0\"]", &[handler]).body();
    }
    timer.handlers.lock().unwrap().failing = 1;
    let targets: Vec<String> =
        woken(&timer.run_to(2_000)).into_iter().map(|(target, _)| target).collect();
    assert_eq!(targets, ["o-61", "o-62", "o-63"], "all were tried");
    assert_eq!(woken(&timer.run_to(3_000)).len(), 0);
}

#[test]
fn a_message_to_itself_that_is_lost_is_made_good_by_the_devices_wakeup() {
    let mut timer = Timer::start();
    for number in 0..100 {
        timer.set_wakeup(2_000, &format!("o-{}", 1_000 + number), TOKEN);
    }
    let first = timer.poll(2_000);
    assert_eq!(std::mem::take(&mut timer.handlers.lock().unwrap().soon), 1);
    // In the next blocks the device wakes it, and after a while it believes in the loss.
    let second = timer.poll(2_001);
    assert_eq!(timer.handlers.lock().unwrap().soon, 0);
    let mut all = woken(&[first, second]);
    assert_eq!(all.len(), 32);
    all.extend(woken(&timer.run_to(2_100)));
    assert_eq!(all.len(), 100);
}

/// The heap of the vat while strangers have set `count` things that wait, whatever a stranger does in one way.
fn heap_with(count: usize, set: impl Fn(&mut Timer, usize)) -> (Timer, u64, u64) {
    let mut timer = Timer::start();
    (0..count).for_each(|number| set(&mut timer, number));
    timer.vat.bring_out_your_dead();
    let before = timer.vat.heap_bytes();
    (count..9 * count).for_each(|number| set(&mut timer, number));
    timer.vat.bring_out_your_dead();
    let after = timer.vat.heap_bytes();
    println!("heap: {before} bytes with {count} that wait, {after} with nine times as many");
    (timer, before, after)
}

#[test]
fn nothing_that_waits_lies_in_the_heap() {
    let delay = |timer: &mut Timer, number: usize| {
        let service = timer.service.clone();
        timer.ask(&service, "delay", &format!("[{}]", 1_000 + number), &[]);
    };
    let (mut timer, before, after) = heap_with(300, delay);
    assert!(after <= before + (1 << 20), "{before} bytes became {after}");
    let outcomes = timer.run_to(1_000_000);
    assert_eq!(settled(&outcomes).len(), 2_700);
    assert!(settled(&outcomes).iter().all(|settled| !settled.rejected));
    assert!(timer.handlers.lock().unwrap().deferred.is_empty());
}

#[test]
fn repeaters_whose_handlers_do_not_answer_take_no_heap_and_hold_up_no_others() {
    let repeat = |timer: &mut Timer, number: usize| {
        let handler = format!("o-{}", 1_000 + number);
        timer.send("repeatAfter", "[0,10,\"$0\"]", &[&handler]).body();
    };
    let (mut timer, before, after) = heap_with(300, repeat);
    assert!(after <= before + (1 << 20), "{before} bytes became {after}");
    timer.send("repeatAfter", "[10,10,\"$0\"]", &[HANDLER]).body();
    timer.send("setWakeup", "[1010,\"$0\"]", &["o-61"]).body();
    let mut woken = woken(&timer.run_to(1_010));
    woken.retain(|(target, _)| target == HANDLER || target == "o-61");
    assert_eq!(woken.len(), 2);
}

#[test]
fn a_result_that_waits_outlives_the_incarnation() {
    let mut timer = Timer::start();
    let service = timer.service.clone();
    let kept = timer.ask(&service, "wakeAt", "[2000]", &[]);
    let cancelled = timer.ask(&service, "delay", "[5000,\"$0\"]", &[TOKEN]);
    let handlers = std::mem::take(&mut *timer.handlers.lock().unwrap());
    let mut timer = Timer::over(timer.vat.vatstore().clone());
    *timer.handlers.lock().unwrap() = handlers;
    let outcome = timer.send("cancel", "[\"$0\"]", &[TOKEN]);
    let settled_now = settled(&[outcome]);
    assert_eq!((settled_now[0].number, settled_now[0].rejected), (cancelled, true));
    let outcomes = timer.run_to(2_000);
    assert_eq!(settled(&outcomes).iter().map(|s| s.number).collect::<Vec<_>>(), [kept]);
}

#[test]
fn notifiers_and_iterators_tell_beats_and_their_end() {
    let mut timer = Timer::start();
    let notifier = timer.send("makeNotifier", "[10,10,\"$0\"]", &[TOKEN]).slots().remove(0);
    let first = timer.ask(&notifier, "getUpdateSince", "[]", &[]);
    let iterator = timer.send_to(&notifier, "%@@asyncIterator", "[]", &[]);
    let iterator = iterator.slots().remove(0);
    let next = timer.ask(&iterator, "next", "[]", &[]);
    let overlapping = timer.send_to(&iterator, "next", "[]", &[]).refusal();
    assert!(overlapping.contains("overlapping"), "{overlapping}");
    let told = settled(&timer.run_to(1_010));
    assert_eq!(told.iter().map(|s| s.number).collect::<Vec<_>>(), [first, next]);
    assert!(told[0].value.contains("\"updateCount\":\"+1\""), "{told:?}");
    assert!(told[1].value.contains("\"done\":false"), "{told:?}");
    // What the caller does not know yet is told at once.
    let known = timer.send_to(&notifier, "getUpdateSince", "[]", &[]).body();
    assert!(known.contains("\"updateCount\":\"+1\""), "{known}");
    let second = timer.ask(&notifier, "getUpdateSince", "[\"+1\"]", &[]);
    let next = timer.ask(&iterator, "next", "[]", &[]);
    let told = settled(&[timer.send("cancel", "[\"$0\"]", &[TOKEN])]);
    assert_eq!(told.iter().map(|s| s.number).collect::<Vec<_>>(), [second, next]);
    assert!(told.iter().all(|told| !told.rejected), "{told:?}");
    assert!(told[1].value.contains("\"done\":true"), "{told:?}");
    let last = timer.send_to(&iterator, "next", "[]", &[]).body();
    assert!(last.contains("\"done\":true"), "{last}");
}

#[test]
fn wakeups_of_all_kinds_go_out_in_the_order_in_which_they_were_set() {
    let mut timer = Timer::start();
    for number in 0..6 {
        let handler = format!("o-{}", 1_000 + number);
        match number % 2 {
            0 => timer.send("setWakeup", "[1010,\"$0\"]", &[&handler]).body(),
            _ => timer.send("repeatAfter", "[10,10,\"$0\"]", &[&handler]).body(),
        };
    }
    let targets: Vec<_> =
        woken(&timer.run_to(1_010)).into_iter().map(|(target, _)| target).collect();
    assert_eq!(targets, (0..6).map(|number| format!("o-{}", 1_000 + number)).collect::<Vec<_>>());
}

#[test]
fn what_is_not_a_time_a_handler_or_a_token_is_refused_shortly() {
    let mut timer = Timer::start();
    let wide = format!("[[{}]]", vec!["{}"; 1_000].join(","));
    let digits = "9".repeat(10_000);
    let last = u128::MAX;
    for (method, args, reason) in [
        ("setWakeup", wide.clone(), "not a time: an array"),
        ("wakeAt", format!("[\"+{digits}\"]"), "not a time: a bigint of more than 77 digits"),
        ("wakeAt", "[\"+340282366920938463463374607431768211456\"]".to_owned(), "not a time"),
        ("delay", format!("[\"+{last}\"]"), "the time is too late"),
        ("wakeAt", "[1.5]".to_owned(), "not a time: 1.5"),
        ("wakeAt", "[-1]".to_owned(), "not a time: -1"),
        ("wakeAt", "[\"-5\"]".to_owned(), "not a time"),
        ("wakeAt", "[null]".to_owned(), "not a time: null"),
        ("wakeAt", format!("[\"{}\"]", "x".repeat(50_000)), "not a time: \"xxx"),
        ("wakeAt", "[{\"absValue\":\"+5\",\"timerBrand\":7}]".to_owned(), "another timer"),
        ("setWakeup", format!("[\"+2000\",{wide}]"), "handler"),
        ("setWakeup", format!("[\"+2000\",\"$0\",{wide}]"), "cancel token"),
        ("cancel", wide, "cancel token"),
        ("repeatAfter", "[1,0,\"$0\"]".to_owned(), "interval must be positive"),
        ("makeRepeater", "[1,{}]".to_owned(), "not a time: an object"),
    ] {
        let slots: &[&str] = if args.contains("$0") { &[HANDLER] } else { &[] };
        let refusal = timer.send(method, &args, slots).refusal();
        assert!(refusal.contains(reason), "{method}: {refusal}");
        assert!(refusal.len() < 400, "{} bytes", refusal.len());
    }
    // The last time that is one.
    timer.send("setWakeup", &format!("[\"+{last}\",\"$0\"]"), &[HANDLER]).body();
    assert_eq!(woken(&timer.run_to(1_000_000)).len(), 0);
}

/// Returns the cost of an event for the timer, in computrons: its share of the wakeup and of what follows.
fn cost_of_an_event(count: usize, method: &str, args: &str) -> u64 {
    let mut timer = Timer::start();
    for number in 0..count {
        let (handler, token) = (format!("o-{}", 1_000 + number), format!("o-{}", 9_000 + number));
        timer.send(method, args, &[&handler, &token]).body();
    }
    let outcomes = timer.run_to(1_010);
    let mut spent: u64 = outcomes.iter().map(|outcome| outcome.computrons).sum();
    let listener = timer.handler("continuation");
    for (_, repeater) in woken(&outcomes) {
        if !repeater.is_empty() {
            let args = format!("[\"{repeater}\",false]");
            spent += timer.send_to(&listener, "answered", &args, &[]).computrons;
        }
    }
    spent / count as u64
}

#[test]
fn who_is_woken_pays_for_all_of_the_timers_part() {
    let price = capstan_proto::SystemParams::default().wake_computrons;
    for (method, args) in
        [("setWakeup", "[1010,\"$0\",\"$1\"]"), ("repeatAfter", "[10,10,\"$0\",\"$1\"]")]
    {
        // One alone bears the whole wakeup of the device, many share it.
        for count in [1, 64] {
            let cost = cost_of_an_event(count, method, args);
            println!("{method}: {cost} computrons an event of {count}");
            assert!(cost <= price, "{method}: {cost} computrons, the woken pay {price}");
        }
    }
}
