//! What a home keeps, refuses and completes.

use super::*;
use crate::dev_genesis;

fn open(path: PathBuf, chain_id: &str) -> Result<Home, HomeError> {
    Home::open_or_make(path, || Ok(dev_genesis(chain_id).unwrap()))
}

#[test]
fn a_new_home_is_found_again_and_keeps_its_genesis() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home");
    let made = open(path.clone(), "one").unwrap().genesis().unwrap().1;
    let (genesis, found) = open(path, "two").unwrap().genesis().unwrap();
    assert_eq!((genesis.chain_id.as_str(), found), ("one", made));
    assert_eq!(genesis.app_state.accounts.len(), 3);
}

#[test]
fn a_home_is_used_by_one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let home = open(dir.path().to_owned(), "c").unwrap();
    let error = open(dir.path().to_owned(), "c").unwrap_err().to_string();
    assert!(error.contains("another capstan runs"), "{error}");
    drop(home);
    open(dir.path().to_owned(), "c").unwrap();
}

#[test]
fn what_is_no_home_of_this_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "precious").unwrap();
    let error = open(dir.path().to_owned(), "c").unwrap_err().to_string();
    assert!(error.contains("thesis.txt"), "{error}");
    fs::remove_file(dir.path().join("thesis.txt")).unwrap();
    fs::write(dir.path().join(MARKER), r#"{"format":99,"chain_id":"c"}"#).unwrap();
    let error = open(dir.path().to_owned(), "c").unwrap_err().to_string();
    assert!(error.contains("format 99"), "{error}");
    fs::write(dir.path().join(MARKER), "{").unwrap();
    let error = open(dir.path().to_owned(), "c").unwrap_err().to_string();
    assert!(error.contains("damaged"), "{error}");
}

#[test]
fn a_place_where_nothing_can_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = open(file.join("home"), "c").unwrap_err().to_string();
    assert!(error.contains("file/home") && error.contains("--home"), "{error}");
}

#[test]
fn an_interrupted_start_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".genesis.json.capstan-partial"), "{").unwrap();
    fs::write(dir.path().join(GENESIS), "{").unwrap();
    let home = open(dir.path().to_owned(), "c").unwrap();
    assert_eq!(home.genesis().unwrap().0.chain_id, "c");
}
