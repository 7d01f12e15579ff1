//! Every command of the README's tour does what the README says.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use common::guide::{Guide, Part, run};
use common::{Place, checkout};

/// The shell blocks of the README's tour, in order.
fn tour() -> Vec<String> {
    let readme = std::fs::read_to_string(checkout().join("README.md")).unwrap();
    let tour = readme.split("## A five-minute tour").nth(1).expect("the README has the tour");
    let tour = tour.split("\n## ").next().unwrap();
    let parts = Guide::parse(tour).parts.into_iter();
    parts
        .filter_map(|part| if let Part::Shell(block) = part { Some(block) } else { None })
        .collect()
}

#[test]
fn every_command_of_the_tour_works() {
    let place = Place::new();
    let blocks = tour();
    assert_eq!(
        blocks[0].lines().next(),
        Some("make build"),
        "the tour begins with the build, which made this binary"
    );
    assert_eq!(blocks[1], "capstan dev");
    let dev = place.dev();
    let said: String = blocks[2..].iter().map(|block| run(&place, Some(&dev), block)).collect();
    for expected in [
        "fulfilled: 42",           // increment 37 of 5
        r#""status":"fulfilled""#, // read --json
        "fulfilled: 45",           // the other vat's three
        "computrons total",        // the table of statistics
        r#""transcript_count":"#,  // the same by curl
        r#""network":"capstan-dev""#,
        "Ada hears: Ada, that was the hard part", // capstan run
        "Bob, you are doing well",                // capstan shell
    ] {
        let spaceless: String = said.split_whitespace().collect();
        assert!(
            said.contains(expected) || spaceless.contains(expected),
            "{expected} is not in what was printed:\n{said}"
        );
    }
}
