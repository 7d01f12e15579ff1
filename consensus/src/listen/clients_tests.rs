//! Which connection makes room for a new one.

use super::*;

fn address(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

/// Returns whether a connection was told to end.
fn leaves(seat: &Seat) -> bool {
    seat.client.leaves.load(Ordering::Relaxed)
}

fn seat(clients: &Clients, last: u8) -> Seat {
    match clients.try_admit(address(last)) {
        Admission::Seat(seat) => seat,
        _ => panic!("no seat for {last}"),
    }
}

/// Makes the times of two connections differ.
fn later() {
    std::thread::sleep(Duration::from_millis(2));
}

#[test]
fn the_connection_that_is_idle_longest_makes_room() {
    let clients = Clients::new(Bounds::test(3, 100));
    let mut seats: Vec<_> = (1..4).map(|last| (seat(&clients, last), later()).0).collect();
    seats[0].client.took();
    assert!(matches!(clients.try_admit(address(4)), Admission::Wait));
    assert_eq!(seats.iter().map(leaves).collect::<Vec<_>>(), [false, true, false]);
    // Until it has left, no other one is told to.
    assert!(matches!(clients.try_admit(address(4)), Admission::Wait));
    assert_eq!(seats.iter().filter(|seat| leaves(seat)).count(), 1);
    drop(seats.remove(1));
    seats.push(seat(&clients, 4));
}

#[test]
fn the_address_with_most_connections_makes_room() {
    let clients = Clients::new(Bounds::test(4, 100));
    let first = seat(&clients, 1);
    later();
    let many: Vec<_> = (0..3).map(|_| (seat(&clients, 2), later()).0).collect();
    assert!(matches!(clients.try_admit(address(3)), Admission::Wait));
    assert!(!leaves(&first) && leaves(&many[0]));
}

#[test]
fn an_address_with_its_share_closes_its_own_and_is_refused_when_all_work() {
    let clients = Clients::new(Bounds::test(4, 50));
    let other = seat(&clients, 1);
    later();
    let (a, b) = (seat(&clients, 2), seat(&clients, 2));
    let work = (a.client.work(), b.client.work());
    assert!(matches!(clients.try_admit(address(2)), Admission::Refused));
    drop(work.1);
    assert!(matches!(clients.try_admit(address(2)), Admission::Wait));
    assert!(leaves(&b) && !leaves(&other) && !leaves(&a));
    let _free = seat(&clients, 3);
}

#[test]
fn while_all_are_at_work_a_new_connection_waits() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let clients = Clients::new(Bounds::test(1, 100));
        let first = clients.admit(address(1)).await.unwrap();
        let work = first.client.work();
        let waits = clients.clone();
        let second = tokio::spawn(async move { waits.admit(address(2)).await.is_some() });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!second.is_finished() && !leaves(&first));
        drop(work);
        first.client.must_end(Duration::from_secs(60)).await;
        drop(first);
        assert!(second.await.unwrap());
    });
}

#[test]
fn while_all_are_at_work_an_address_with_many_connections_loses_the_oldest() {
    let clients = Clients::new(Bounds::test(4, 100));
    let seats: Vec<_> = [1, 2, 2, 2].map(|last| seat(&clients, last)).into();
    let _work: Vec<_> = seats.iter().map(|seat| seat.client.work()).collect();
    assert!(matches!(clients.try_admit(address(3)), Admission::Wait));
    assert_eq!(seats.iter().map(leaves).collect::<Vec<_>>(), [false, true, false, false]);
    // Until it has left, no other one is told to.
    assert!(matches!(clients.try_admit(address(3)), Admission::Wait));
    assert_eq!(seats.iter().filter(|seat| leaves(seat)).count(), 1);
    // Two of one address are no more than one of another and a new one.
    let clients = Clients::new(Bounds::test(4, 100));
    let seats: Vec<_> = [1, 2, 2, 3].map(|last| seat(&clients, last)).into();
    let _work: Vec<_> = seats.iter().map(|seat| seat.client.work()).collect();
    assert!(matches!(clients.try_admit(address(3)), Admission::Wait));
    assert!(!seats.iter().any(leaves));
}

#[test]
fn a_connection_without_a_request_ends_and_one_with_a_request_does_not() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (clients, first) = (Clients::new(Bounds::test(2, 100)), Duration::from_millis(20));
        let (silent, asks) = (seat(&clients, 1), seat(&clients, 2));
        asks.client.asks();
        silent.client.must_end(first).await;
        let ended = tokio::time::timeout(first * 5, asks.client.must_end(first)).await;
        assert!(ended.is_err());
    });
}

#[test]
fn addresses_of_one_network_are_one() {
    let parse = |text: &str| network(text.parse().unwrap());
    assert_eq!(parse("2001:db8:1:2::1"), parse("2001:db8:1:2:3::9"));
    assert_ne!(parse("2001:db8:1:2::1"), parse("2001:db8:1:3::1"));
    assert_eq!(parse("::ffff:10.0.0.1"), address(1));
}
