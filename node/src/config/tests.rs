//! The options that a file may have, and what is said of wrong ones.

use super::parse::{known_options, parse};
use super::*;

#[test]
fn the_file_of_a_new_home_has_every_option_with_its_default() {
    assert_eq!(parse(TEMPLATE).unwrap(), Config::default());
    let table: toml::Table = TEMPLATE.parse().unwrap();
    for name in known_options().unwrap() {
        let (section, option) = name.split_once('.').unwrap();
        assert!(table[section].get(option).is_some(), "{name} is not in the file");
    }
    let explained = TEMPLATE.lines().zip(TEMPLATE.lines().skip(1));
    for (before, line) in explained.filter(|(_, line)| line.contains(" = ")) {
        assert!(before.starts_with('#'), "{line}: what is it?");
    }
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    for (text, part) in [
        ("[rpc]\nlissen = \"x\"", "rpc.lissen; did you mean rpc.listen"),
        ("[mempol]\nmax_txs = 1", "[mempol]; did you mean [mempool]"),
        ("max_txs = 1", "section [max_txs]"),
        ("[vats]\nmax_online = 0", "vats.max_online must be at least 1"),
        ("[vats]\nmax_online_mib = 0", "vats.max_online_mib must be at least 1"),
        ("[vats]\nmax_online = \"many\"", "invalid type"),
        ("[log]\nformat = \"xml\"", "unknown variant `xml`, expected `text` or `json`"),
        ("[queries]\nmax_page_bytes = 0", "queries.max_page_bytes must be at least 1"),
        ("[rpc]\nmax_answer_bytes = 100", "rpc.max_answer_bytes must not be less than 1024"),
        ("[rpc]\nmax_pending_bytes = 9", "max_pending_bytes must not be less than rpc.max_answer"),
        ("[rpc]\nmax_websockets = 501", "max_connections must not be less than rpc.max_websockets"),
        (
            "[rpc]\nidle_timeout_ms = 10000",
            "idle_timeout_ms must not be less than rpc.commit_timeo",
        ),
        ("[mempool]\nmax_total_bytes = 5", "max_total_bytes must not be less"),
        ("[metrics]\nlisten = \"everywhere\"", "metrics.listen \"everywhere\" is no address"),
        ("[vats]\nthreads = 257", "vats.threads must be at most 256"),
        ("[rpc]\nmax_websockets = 1000001", "rpc.max_websockets must be at most 1000000"),
        ("[rpc]\ncommit_timeout_ms = 86400001", "rpc.commit_timeout_ms must be at most 86400000"),
        ("[store]\ncache_mib = 1048577", "store.cache_mib must be at most 1048576"),
        ("[log]\nslog_keep = 4294967295", "log.slog_keep must be at most 10000"),
        ("[state_sync]\ninterval = 281474976710657", "state_sync.interval must be at most"),
        ("[state_sync]\ndiscovery_seconds = 4", "discovery_seconds must not be less than 5"),
        (
            "[state_sync]\nenable = true\nrpc_servers = \"a:1\"",
            "rpc_servers must name at least two",
        ),
        ("[state_sync]\nenable = true\nrpc_servers = \"a:1,b:2\"", "trust_height must be"),
        (
            "[state_sync]\nenable = true\nrpc_servers = \"a:1,b:2\"\ntrust_height = 5\ntrust_hash = \"xy\"",
            "trust_hash must be the hash",
        ),
        ("[rpc", "expected"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

/// Of every number the file's reader says something, or it works.
#[test]
fn no_number_is_accepted_that_does_not_work() {
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    let mut refused = 0;
    for name in known_options().unwrap() {
        let (section, option) = name.split_once('.').unwrap();
        if !defaults[section][option].is_integer() {
            continue;
        }
        for value in [0, i64::from(u32::MAX), i64::MAX] {
            let text = format!("[{section}]\n{option} = {value}");
            match parse(&text) {
                Ok(config) => {
                    // What follows from the options can be computed.
                    let (_, _) = (config.store_options(), config.block_policy());
                    let (rpc, _) = (config.rpc_limits(), config.mempool_limits());
                    assert!(rpc.max_connections >= rpc.max_websockets);
                    assert!(config.store_options().cache_bytes > 0, "{text}");
                }
                Err(error) => {
                    assert!(error.to_string().contains(option), "{text}: {error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 40, "{refused} refused");
}

#[test]
fn a_home_without_a_file_has_the_defaults() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Config::load(dir.path()).unwrap(), Config::default());
    fs::write(dir.path().join(CONFIG), "[blocks]\nempty_interval_ms = 1500\n").unwrap();
    let config = Config::load(dir.path()).unwrap();
    assert_eq!(config.block_policy().empty_interval, Some(Duration::from_millis(1500)));
}

#[test]
fn vats_have_as_many_threads_as_configured_or_as_there_are_cores() {
    let threads = |text: &str| {
        let config = parse(text).unwrap();
        config.host_options(PathBuf::from("cache")).threads
    };
    assert_eq!(threads("[vats]\nthreads = 1"), 1);
    assert_eq!(threads("[vats]\nthreads = 40"), 40);
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(threads(""), cores.min(16));
}

#[test]
fn state_sync_is_written_in_its_place_and_all_else_stays() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(CONFIG);
    let sync = StateSync { interval: 7, keep: 9, enable: false, ..StateSync::default() };
    let written = |text: &str| {
        fs::write(&file, text).unwrap();
        sync.write(home.path()).unwrap();
        assert_eq!(Config::load(home.path()).unwrap().state_sync, sync, "{text}");
        fs::read_to_string(&file).unwrap()
    };
    // What follows the section, comments, and a comment that names it.
    let text = "# not [state_sync]\n[state_sync]\n# how often\ninterval = 5 # blocks\n\n# the log\n[log]\nlevel = \"debug\"\n";
    let changed = written(text);
    for kept in [
        "# not [state_sync]\n",
        "# how often\ninterval = 7 # blocks\n",
        "# the log\n[log]\nlevel =",
    ] {
        assert!(changed.contains(kept), "{kept}: {changed}");
    }
    assert_eq!(Config::load(home.path()).unwrap().log.level, "debug");
    let whole = written(TEMPLATE);
    let differs = TEMPLATE.lines().zip(whole.lines()).filter(|(one, other)| one != other);
    assert_eq!(differs.count(), 2, "only the two options changed");
    assert_eq!(whole.lines().count(), TEMPLATE.lines().count());
    for other in ["", "[vats]\nthreads = 2", "state_sync = { keep = 3 } # short\n"] {
        written(other);
    }
    fs::write(&file, "[state_sync]\nkeep = \"x\"").unwrap();
    assert!(sync.write(home.path()).is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), "[state_sync]\nkeep = \"x\"");
}
