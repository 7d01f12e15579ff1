//! The command line of the benchmark.

use std::path::PathBuf;

use capstan_store::Options;

/// The parsed command line.
pub(crate) struct Arguments {
    pub(crate) json: bool,
    pub(crate) recorded_only: bool,
    /// Commit and crash only.
    pub(crate) crash: bool,
    pub(crate) keys: u64,
    pub(crate) options: Options,
    pub(crate) dir: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn parse() -> Self {
        let mut parsed = Self {
            json: false,
            recorded_only: false,
            crash: false,
            keys: 1_000_000,
            options: Options::default(),
            dir: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => parsed.json = true,
                "--recorded" => parsed.recorded_only = true,
                "--crash" => parsed.crash = true,
                "--bench" => {} // cargo passes it
                "--keys" => parsed.keys = arguments.next().unwrap().parse().unwrap(),
                "--nodes" => {
                    parsed.options.tree_nodes = arguments.next().unwrap().parse().unwrap();
                }
                "--cache" => {
                    let mib: usize = arguments.next().unwrap().parse().unwrap();
                    parsed.options.cache_bytes = mib << 20;
                }
                "--dir" => parsed.dir = Some(arguments.next().unwrap().into()),
                other => panic!(
                    "unknown argument {other}: expected --json, --recorded, --keys N, --nodes N, --cache MIB, --dir DIR"
                ),
            }
        }
        parsed
    }
}
