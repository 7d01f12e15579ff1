//! `capstan`: one program to run a chain, to use it and to inspect it.
//!
//! Each module is a command or is shared by several commands. [`process`] is shared by commands that run until they are
//! stopped. [`home`] finds the home of a command. [`passable`] reads and writes values on the command line. [`output`]
//! and [`failure`] print results and errors, and choose the exit code.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod basedir;
mod bundle;
mod debug;
mod dev;
mod devices;
mod disk;
mod events;
mod failure;
mod home;
mod init;
mod io;
mod keys;
mod localnet;
mod logs;
mod outbox;
mod output;
mod overriding;
mod process;
mod progress;
mod query;
mod serve;
mod snapshot;
mod start;
mod state_export;
mod subclusters;
mod tx;
mod vat;

/// See ADR 18.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use capstan_passable::notation as passable;
use clap::{Parser, Subcommand};

use crate::output::Output;

/// Capstan: a chain whose vats are object-capability JavaScript and wasm.
#[derive(Parser, Debug)]
#[command(name = "capstan", version, after_help = AFTER_HELP, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// The arguments of every command.
#[derive(clap::Args, Clone, Debug)]
struct Common {
    /// Print JSON instead of text: one value per line, on standard output.
    #[arg(long, global = true)]
    json: bool,
    /// Directory of chain state and keys. Every relative path starts where you stand, and a path in a file beside that
    /// file [default: $CAPSTAN_HOME, or ~/.capstan; for `localnet` $CAPSTAN_LOCALNET, or ~/.capstan-localnet].
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run a chain of one validator for development. Makes its home if there is none.
    Dev(dev::Dev),
    /// Run one node of a network, on CometBFT.
    Start(start::Start),
    /// Run a network of nodes on this machine, which can be broken on purpose.
    Localnet(localnet::Localnet),
    /// Make a home with a genesis document, without running it.
    Init(init::Init),
    /// Make and show signing keys.
    Keys(keys::Keys),
    /// Run a directory of vats, without a chain, until nothing is left to do.
    Run(basedir::Run),
    /// Drive a directory of vats by hand: a JavaScript prompt, and the kernel crank by crank.
    Shell(basedir::Shell),
    /// Bundle a vat's JavaScript source into a file that can be installed.
    Bundle(bundle::BundleSource),
    /// Send a transaction and wait for its result.
    Tx(tx::Tx),
    /// Query a node.
    Query(query::Query),
    /// List what waits for an account: calls of its objects, and answers. Marks what is new.
    Outbox(outbox::Outbox),
    /// Write lines to the io channels of a subcluster, and read what its vats wrote.
    Io(io::Io),
    /// Serve an account's object, written in JavaScript, from this machine.
    Serve(serve::Serve),
    /// Export the committed state and a genesis document that goes on from it.
    Export(state_export::Export),
    /// List, write, check and restore snapshots of the state, from which new nodes begin.
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    /// Execute the block at which the chain stopped differently, as the validators agreed.
    Override(overriding::OverrideBlock),
    /// Start a new chain from the last committed state of one that had to stop.
    Recover(state_export::Recover),
    /// Replay the vats of a node and compare.
    #[command(subcommand)]
    Vat(vat::Vat),
    /// Print what the vats of a node printed, and how they failed and ended.
    Logs(logs::Logs),
    /// Show what a home takes on disk, part by part, and what bounds each part.
    Disk(disk::Disk),
    /// Inspect the last blocks, and find where two nodes diverged.
    #[command(subcommand)]
    Debug(debug::Debug),
}

fn main() -> ExitCode {
    let Cli { command, common } = match Cli::try_parse_from(std::env::args_os().map(shielded)) {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let output = Output::new(common.json);
    let done = match command {
        Command::Dev(dev) => dev.run(&common, output),
        Command::Start(start) => start.run(&common, output),
        Command::Localnet(localnet) => localnet.run(&common, output),
        Command::Init(init) => init.run(&common, output),
        Command::Keys(keys) => keys.run(&common, output),
        Command::Run(run) => run.run(&common, output),
        Command::Shell(shell) => shell.run(&common, output),
        Command::Bundle(bundle) => bundle.run(output),
        Command::Tx(tx) => tx.run(&common, output),
        Command::Query(query) => query.run(&common, output),
        Command::Outbox(outbox) => outbox.run(&common, output),
        Command::Io(io) => io.run(&common, output),
        Command::Serve(serve) => serve.run(&common, output),
        Command::Export(export) => export.run(&common, output),
        Command::Snapshot(snapshot) => snapshot.run(&common, output),
        Command::Override(agree) => agree.run(&common, output),
        Command::Recover(recover) => recover.run(&common, output),
        Command::Vat(vat) => vat.run(&common, output),
        Command::Logs(logs) => logs.run(&common, output),
        Command::Disk(disk) => disk.run(&common, output),
        Command::Debug(debug) => debug.run(&common, output),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error, common.json),
    }
}

/// Puts a space before a negative bigint or infinity, which would otherwise be taken for an option. Values may begin with
/// space.
fn shielded(argument: OsString) -> OsString {
    let negative = |text: &str| {
        let digits = text.strip_prefix('-').and_then(|rest| rest.strip_suffix('n'));
        text == "-Infinity"
            || digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
    };
    match argument.to_str() {
        Some(text) if negative(text) => format!(" {text}").into(),
        _ => argument,
    }
}

/// Prints what is wrong with the command line, or the help that it asks for. Programs that ask for JSON get an error in
/// JSON, as for every other failure.
fn misused(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        return failure::report(&failure::usage(text), true);
    }
    // Nobody reads what cannot be printed.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::USAGE))
}

const AFTER_HELP: &str = "\
Example, in two terminals:
  capstan dev
  capstan bundle counter.js -o counter.json
  capstan tx install-bundle counter.json --from alice
  capstan tx create-vat counter.json --name counter --params '{\"start\":5}' --from alice
  capstan tx send ro-53 increment 2 --from alice
  capstan query vats

Exit codes:
  0   done
  1   failed; also: the vat refused to be made, or answered a message by a rejection
  2   wrong usage
  3   the chain refused the transaction or the query; its code is in the message
  4   no node answers, or not in time
  70  (dev, start) a critical vat died: every node of the chain stops at this block; see capstan override
  74  (dev, start) this node's disk or memory failed, or its state is damaged
  101 (dev, start) a bug in the program";
