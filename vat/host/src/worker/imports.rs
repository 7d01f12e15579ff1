//! Host functions behind a worker's imports.

use std::sync::Arc;

use capstan_abi::{Encoding, Fault, Syscall, SyscallResult, imports as names, legible};
use capstan_kernel_ports::host::{Printed, Syscalls};
use wasmer::{
    AsStoreMut, Function, FunctionEnv, FunctionEnvMut, Global, Imports, Memory, RuntimeError, Value,
};

use crate::{
    cost,
    memory::linear::MemoryState,
    worker::{answerer::Answerer, supervisor},
};

/// Upper bound in bytes for the test log of a delivery. Lines beyond it are dropped.
pub(crate) const TEST_LOG_BYTES: usize = 1 << 20;
/// Upper bound in bytes for what a bundle prints while it is loaded. Lines beyond it are dropped.
const PRINTED_BYTES: usize = 64 << 10;
/// What a line counts for besides its length, in bytes.
const PRINTED_OVERHEAD_BYTES: usize = 128;
/// Maximum length in bytes of a line for the node's log. Longer lines are cut.
pub(crate) const LOG_LINE_BYTES: usize = 4 << 10;

/// Reason for which the host ends a worker's run from within.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    /// The node failed.
    #[error("{0}")]
    Host(String),
    /// The vat exhausted a resource.
    #[error("{}", .0.text())]
    Fault(Fault),
    /// The worker broke the ABI, which is the vat's fault.
    #[error("{0}")]
    Broken(String),
}

impl From<Stop> for RuntimeError {
    fn from(stop: Stop) -> Self {
        Self::user(Box::new(stop))
    }
}

/// Source of console lines from a wasm module, by SwingSet's names.
const VAT_CODE: &str = "vat";

/// State of the imports.
#[derive(Default)]
pub(crate) struct Env {
    /// Memory and points of the worker, once it is instantiated.
    links: Option<Links>,
    encoding: Option<Encoding>,
    answerer: Answerer,
    result: Vec<u8>,
    done: Option<Vec<u8>>,
    test_log: Vec<String>,
    test_log_bytes: usize,
    printed: Vec<Printed>,
    printed_bytes: usize,
}

/// What a run left.
pub(crate) struct Finished {
    /// Result that the worker reported.
    pub(crate) done: Option<Vec<u8>>,
    /// Test log of the run.
    pub(crate) test_log: Vec<String>,
    /// Lines that were printed while no delivery ran.
    pub(crate) printed: Vec<Printed>,
}

#[derive(Clone)]
pub(crate) struct Links {
    pub(crate) memory: Memory,
    pub(crate) points: Global,
    pub(crate) exhausted: Global,
    pub(crate) state: Arc<MemoryState>,
}

impl Env {
    pub(crate) fn link(&mut self, links: Links) {
        self.links = Some(links);
    }

    pub(crate) fn set_encoding(&mut self, encoding: Encoding) {
        self.encoding = Some(encoding);
    }

    /// Prepares for a run. Syscalls are answered by what the caller lends to the returned
    /// [`Answerer`].
    pub(crate) fn begin(&mut self) -> Answerer {
        self.result.clear();
        self.done = None;
        self.test_log.clear();
        self.test_log_bytes = 0;
        self.printed.clear();
        self.printed_bytes = 0;
        self.answerer.clone()
    }

    /// Ends a run.
    pub(crate) fn finish(&mut self) -> Finished {
        self.result = Vec::new();
        Finished {
            done: self.done.take(),
            test_log: std::mem::take(&mut self.test_log),
            printed: std::mem::take(&mut self.printed),
        }
    }

    fn links(&self) -> Result<Links, Stop> {
        self.links
            .clone()
            .ok_or_else(|| Stop::Broken("a host function was called too early".to_owned()))
    }

    fn answer(
        &mut self,
        ask: impl FnOnce(&mut dyn Syscalls) -> Option<SyscallResult>,
    ) -> Result<SyscallResult, Stop> {
        let outside = || Stop::Broken("syscall outside of a delivery".to_owned());
        let result = self.answerer.ask(ask).ok_or_else(outside)?;
        result.ok_or_else(|| Stop::Host("a syscall could not be done".to_owned()))
    }

    /// Hands a line to the lent [`Syscalls`]. While no delivery runs, the line is kept for who runs the worker.
    fn print(&mut self, source: &str, level: &str, line: &str) {
        if self.answerer.ask(|syscalls| syscalls.console(source, level, line)).is_some() {
            return;
        }
        if self.printed_bytes + line.len() <= PRINTED_BYTES {
            self.printed_bytes += line.len() + PRINTED_OVERHEAD_BYTES;
            let (source, level) = (source.to_owned(), level.to_owned());
            self.printed.push(Printed { source, level, text: line.to_owned() });
        }
    }

    fn test_log(&mut self, line: String) {
        if self.test_log_bytes + line.len() <= TEST_LOG_BYTES {
            self.test_log_bytes += line.len();
            self.test_log.push(line);
        }
    }
}

/// Returns the imports that a worker may have.
pub(crate) fn imports(store: &mut impl AsStoreMut, env: &FunctionEnv<Env>) -> Imports {
    let mut imports = Imports::new();
    let mut define = |name, function: Function| imports.define(names::MODULE, name, function);
    define(names::SYSCALL, Function::new_typed_with_env(store, env, syscall));
    define(names::TAKE_RESULT, Function::new_typed_with_env(store, env, take_result));
    define(names::DONE, Function::new_typed_with_env(store, env, done));
    define(names::LOG, Function::new_typed_with_env(store, env, log));
    define(names::FAULT, Function::new_typed_with_env(store, env, fault));
    imports
}

fn syscall(mut env: FunctionEnvMut<'_, Env>, ptr: i32, len: i32) -> Result<i32, RuntimeError> {
    let request = receive(&mut env, ptr, len)?;
    let result = match env.data().encoding {
        Some(Encoding::Borsh) => {
            let result = match borsh::from_slice::<Syscall>(&request) {
                Ok(syscall) => env.data_mut().answer(|s| s.syscall(syscall))?,
                Err(error) => env.data_mut().answer(|s| s.malformed(&error.to_string()))?,
            };
            borsh::to_vec(&result).map_err(|e| Stop::Host(e.to_string()))?
        }
        Some(Encoding::Json) => {
            charge(&mut env, cost::JSON_POINTS)?;
            command(&mut env, &request)?
        }
        None => return Err(Stop::Broken("syscall outside of a delivery".to_owned()).into()),
    };
    charge(&mut env, byte_points(result.len()))?;
    let length = i32::try_from(result.len())
        .map_err(|_| Stop::Broken("a syscall's result is too large for the vat".to_owned()))?;
    env.data_mut().result = result;
    Ok(length)
}

/// Carries out a command of a JavaScript worker's supervisor and returns the answer.
fn command(env: &mut FunctionEnvMut<'_, Env>, request: &[u8]) -> Result<Vec<u8>, Stop> {
    Ok(match supervisor::read_command(request) {
        supervisor::Command::Syscall(Ok(syscall)) => {
            supervisor::write_result(&env.data_mut().answer(|s| s.syscall(syscall))?)
        }
        supervisor::Command::Syscall(Err(problem)) => {
            supervisor::write_result(&env.data_mut().answer(|s| s.malformed(&problem.to_string()))?)
        }
        supervisor::Command::TestLog(line) => {
            env.data_mut().test_log(line);
            Vec::new()
        }
        supervisor::Command::Console { source, level, line } => {
            let line = shortened(&line);
            charge(env, line_points(line))?;
            env.data_mut().print(&source, &level, line);
            Vec::new()
        }
        supervisor::Command::Unknown(name) => {
            tracing::debug!(name, "a JavaScript worker issued an unknown command");
            Vec::new()
        }
    })
}

fn take_result(mut env: FunctionEnvMut<'_, Env>, ptr: i32) -> Result<(), RuntimeError> {
    charge(&mut env, cost::HOST_CALL_POINTS)?;
    let result = std::mem::take(&mut env.data_mut().result);
    let links = env.data().links()?;
    let outside = |_| Stop::Broken("take_result: the address is outside the memory".to_owned());
    links.memory.view(&env).write(u64::from(ptr as u32), &result).map_err(outside)?;
    Ok(())
}

fn done(mut env: FunctionEnvMut<'_, Env>, ptr: i32, len: i32) -> Result<(), RuntimeError> {
    let reply = receive(&mut env, ptr, len)?;
    if env.data().encoding == Some(Encoding::Json) {
        charge(&mut env, 10 * cost::JSON_POINTS)?;
    }
    match env.data_mut().done.replace(reply) {
        None => Ok(()),
        Some(_) => Err(Stop::Broken("the worker reported two results".to_owned()).into()),
    }
}

fn log(
    mut env: FunctionEnvMut<'_, Env>,
    level: i32,
    ptr: i32,
    len: i32,
) -> Result<(), RuntimeError> {
    let bytes = receive(&mut env, ptr, len)?;
    let line = legible(&bytes);
    let line = shortened(&line);
    charge(&mut env, line_points(line))?;
    let level = match level {
        0 => "error",
        1 => "warn",
        2 => "info",
        _ => "debug",
    };
    env.data_mut().print(VAT_CODE, level, line);
    Ok(())
}

fn fault(_: FunctionEnvMut<'_, Env>, kind: i32) -> Result<(), RuntimeError> {
    let stop = match Fault::from_number(kind) {
        Some(fault) => Stop::Fault(fault),
        None => Stop::Broken(format!("the worker faulted with the unknown kind {kind}")),
    };
    Err(stop.into())
}

/// Returns the part of a printed line that is kept.
fn shortened(line: &str) -> &str {
    &line[..line.floor_char_boundary(LOG_LINE_BYTES)]
}

/// Writes lines of an engine that boots to the node's log.
pub(crate) fn write_log(lines: &[Printed]) {
    for Printed { level, text, .. } in lines {
        match level.as_str() {
            "error" => tracing::error!("{text}"),
            "warn" => tracing::warn!("{text}"),
            _ => tracing::debug!("{text}"),
        }
    }
}

/// Charges for a call with `len` bytes at `ptr`, and copies them.
fn receive(env: &mut FunctionEnvMut<'_, Env>, ptr: i32, len: i32) -> Result<Vec<u8>, Stop> {
    let (start, length) = (u64::from(ptr as u32), len as u32 as usize);
    let links = env.data().links()?;
    // The bounds are checked first: the price of a length beyond all memory is meaningless.
    if start + length as u64 > links.memory.view(env).data_size() {
        return Err(Stop::Broken("the worker passed an address outside its memory".to_owned()));
    }
    charge(env, cost::HOST_CALL_POINTS + byte_points(length))?;
    let mut bytes = vec![0; length];
    let read = links.memory.view(env).read(start, &mut bytes);
    read.map_err(|e| Stop::Host(e.to_string()))?;
    Ok(bytes)
}

fn byte_points(bytes: usize) -> u64 {
    cost::HOST_BYTE_POINTS * bytes as u64
}

/// Returns the points for a console line, whether this node keeps it or not.
fn line_points(line: &str) -> u64 {
    cost::LINE_POINTS + cost::LINE_BYTE_POINTS * line.len() as u64
}

/// Takes points from the worker, or ends it as its own metering would.
fn charge(env: &mut FunctionEnvMut<'_, Env>, points: u64) -> Result<(), Stop> {
    let links = env.data().links()?;
    if links.state.is_given_up() {
        return Err(Stop::Host("the run was given up".to_owned()));
    }
    let global_error = |e: RuntimeError| Stop::Host(e.to_string());
    let Value::I64(left) = links.points.get(env) else {
        return Err(Stop::Host("the points global is not an i64".to_owned()));
    };
    // The charged bytes are in memory, so their price is far below the maximum of an i64.
    match left.saturating_sub_unsigned(points) {
        rest @ 0.. => links.points.set(env, Value::I64(rest)).map_err(global_error),
        _ => {
            links.exhausted.set(env, Value::I32(1)).map_err(global_error)?;
            Err(Stop::Fault(Fault::Compute))
        }
    }
}
