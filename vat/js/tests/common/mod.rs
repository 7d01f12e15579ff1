//! The engine under wasmer, with a host that records what it is told.

#![allow(dead_code)] // each test file uses its part

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use wasmer::{
    AsStoreRef, Function, FunctionEnv, FunctionEnvMut, Instance, Memory, Module, RuntimeError,
    Store, Value, imports,
    sys::{EngineBuilder, Singlepass},
};

/// End of a call that did not return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// `fault(kind)` was called.
    Fault(i32),
    /// A trap at an address out of bounds.
    OutOfBounds,
    /// Anything else.
    Trap(String),
}

/// One instance of the engine.
pub(crate) struct Engine {
    store: Store,
    instance: Instance,
    record: Arc<Mutex<Record>>,
}

/// Record of the host's calls, and its answers.
struct Record {
    log: Vec<String>,
    replies: Vec<String>,
    answers: Answers,
    answer: Vec<u8>,
    fault: Option<i32>,
}

/// Answers a command that the vat issued.
pub(crate) type Answers = Box<dyn FnMut(&str) -> String + Send>;

struct Env {
    memory: Option<Memory>,
    record: Arc<Mutex<Record>>,
}

static COMPILED: LazyLock<(wasmer::Engine, Module)> = LazyLock::new(|| {
    // Four times what the deepest recursion was seen to take.
    wasmer::sys::vm::set_stack_size(64 << 20);
    let engine: wasmer::Engine = EngineBuilder::new(Singlepass::default()).engine().into();
    let module = Module::new(&engine, capstan_vat_js::worker()).unwrap();
    (engine, module)
});

pub(crate) fn exports() -> Vec<String> {
    COMPILED.1.exports().map(|export| export.name().to_string()).collect()
}

pub(crate) fn imports() -> Vec<String> {
    COMPILED.1.imports().map(|import| format!("{}.{}", import.module(), import.name())).collect()
}

/// The memory's maximum in pages of 64 KiB.
pub(crate) fn max_memory_pages() -> Option<u32> {
    let mut types = COMPILED.1.exports().map(|export| export.ty().clone());
    let maximum = types.find_map(|ty| ty.memory().map(|memory| memory.maximum));
    maximum.flatten().map(|pages| pages.0)
}

impl Engine {
    /// An instance on which nothing has run. The host answers commands by repeating them.
    pub(crate) fn new() -> Self {
        Self::answering(Box::new(|command| format!("answer to {command}")))
    }

    /// An instance on which nothing has run, with a host that answers commands by `answers`.
    pub(crate) fn answering(answers: Answers) -> Self {
        let (engine, module) = &*COMPILED;
        let mut store = Store::new(engine.clone());
        let record = Record {
            log: Vec::new(),
            replies: Vec::new(),
            answers,
            answer: Vec::new(),
            fault: None,
        };
        let record = Arc::new(Mutex::new(record));
        let env = Env { memory: None, record: Arc::clone(&record) };
        let env = FunctionEnv::new(&mut store, env);
        let imports = imports! { "capstan" => {
            "syscall" => Function::new_typed_with_env(&mut store, &env, syscall),
            "take_result" => Function::new_typed_with_env(&mut store, &env, take_result),
            "log" => Function::new_typed_with_env(&mut store, &env, log),
            "done" => Function::new_typed_with_env(&mut store, &env, done),
            "fault" => Function::new_typed_with_env(&mut store, &env, fault),
        } };
        let instance = Instance::new(&mut store, module, &imports).unwrap();
        let memory = instance.exports.get_memory("memory").unwrap().clone();
        env.as_mut(&mut store).memory = Some(memory);
        Self { store, instance, record }
    }

    pub(crate) fn with_shims() -> Self {
        let mut engine = Self::new();
        let (_, shims) = capstan_vat_js::boot_scripts()[0];
        assert_eq!(engine.boot(std::str::from_utf8(shims).unwrap()), Ok(0));
        engine
    }

    /// The lines that were logged.
    pub(crate) fn log(&self) -> Vec<String> {
        self.record().log.clone()
    }

    /// Evaluates a script and returns the result of `capstan_boot`.
    pub(crate) fn boot(&mut self, script: &str) -> Result<i32, End> {
        let [pointer, length] = self.put(script);
        Ok(self.call("capstan_boot", &[pointer, length])?.unwrap())
    }

    /// Evaluates statements and returns the value of the last as text.
    pub(crate) fn eval(&mut self, statements: &str) -> String {
        self.record().log.clear();
        let quoted = statements.replace('\\', "\\\\").replace('`', "\\`").replace("${", "\\${");
        assert_eq!(
            self.boot(&format!("print(`${{(0, eval)(`{quoted}`)}}`)")),
            Ok(0),
            "{:?}",
            self.log()
        );
        self.log().remove(0)
    }

    /// Delivers a command and returns the replies.
    pub(crate) fn deliver(&mut self, command: &str) -> Result<Vec<String>, End> {
        let [pointer, length] = self.put(command);
        self.call("capstan_deliver", &[pointer, length])?;
        Ok(std::mem::take(&mut self.record().replies))
    }

    /// Calls an export.
    pub(crate) fn call(&mut self, name: &str, arguments: &[i32]) -> Result<Option<i32>, End> {
        let function = self.instance.exports.get_function(name).unwrap().clone();
        let arguments: Vec<Value> = arguments.iter().map(|&n| Value::I32(n)).collect();
        match function.call(&mut self.store, &arguments) {
            Ok(values) => Ok(values.first().map(Value::unwrap_i32)),
            Err(error) => Err(match self.record().fault {
                Some(kind) => End::Fault(kind),
                None if error.to_string().contains("out of bounds memory access") => {
                    End::OutOfBounds
                }
                None => End::Trap(error.to_string()),
            }),
        }
    }

    fn put(&mut self, text: &str) -> [i32; 2] {
        let length = text.len() as i32;
        let pointer = self.call("capstan_alloc", &[length]).unwrap().unwrap();
        let memory = self.instance.exports.get_memory("memory").unwrap();
        memory.view(&self.store).write(pointer as u32 as u64, text.as_bytes()).unwrap();
        [pointer, length]
    }

    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(env: &FunctionEnvMut<'_, Env>, pointer: i32, length: i32) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    let memory = env.data().memory.as_ref().unwrap();
    memory.view(&env.as_store_ref()).read(pointer as u32 as u64, &mut bytes).unwrap();
    bytes
}

fn text(env: &FunctionEnvMut<'_, Env>, pointer: i32, length: i32) -> String {
    String::from_utf8(bytes(env, pointer, length)).unwrap()
}

fn syscall(env: FunctionEnvMut<'_, Env>, pointer: i32, length: i32) -> i32 {
    let command = text(&env, pointer, length);
    let mut record = env.data().record.lock().unwrap();
    let answer = (record.answers)(&command).into_bytes();
    let answer_length = answer.len() as i32;
    record.answer = answer;
    answer_length
}

fn take_result(env: FunctionEnvMut<'_, Env>, pointer: i32) {
    let answer = env.data().record.lock().unwrap().answer.clone();
    let memory = env.data().memory.as_ref().unwrap();
    memory.view(&env.as_store_ref()).write(pointer as u32 as u64, &answer).unwrap();
}

fn log(env: FunctionEnvMut<'_, Env>, _level: i32, pointer: i32, length: i32) {
    let line = text(&env, pointer, length);
    env.data().record.lock().unwrap().log.push(line);
}

fn done(env: FunctionEnvMut<'_, Env>, pointer: i32, length: i32) {
    let reply = text(&env, pointer, length);
    env.data().record.lock().unwrap().replies.push(reply);
}

fn fault(env: FunctionEnvMut<'_, Env>, kind: i32) -> Result<(), RuntimeError> {
    env.data().record.lock().unwrap().fault = Some(kind);
    Err(RuntimeError::new("fault"))
}
