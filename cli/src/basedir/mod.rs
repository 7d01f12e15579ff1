//! `capstan run` and `capstan shell`: a directory of vats, without a chain around it.
//!
//! [`sources`] bundles the vats, [`parameters`] reads their parameters, [`setup`] is the kernel's configuration, and
//! [`machine`] the kernel that runs them, over a store in memory or in a home. [`clock`] is its time, and [`watch`] sees
//! what vats print and what fails. [`run`] lets it run, [`shell`] drives it by hand: [`editor`] reads lines, [`lines`]
//! makes them something that the vat of the shell can evaluate, [`names`] are those that a line can use, and [`dump`]
//! lays the kernel's tables out.

mod clock;
mod console;
mod dump;
mod editor;
mod lines;
mod machine;
mod names;
mod parameters;
mod run;
mod setup;
mod shell;
mod sources;
mod watch;

pub(crate) use run::Run;
pub(crate) use shell::Shell;
