//! Compilation of QuickJS-ng and our worker to one wasm module, with the same bytes on every
//! machine.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    error::BuildError,
    out_dir, package_dir, permanent,
    seams::{self, Seam},
    sha256_hex, write_output,
};

/// Major version of the compiler. `worker.sha256` names the exact version that produced its hash.
pub(crate) const LLVM_MAJOR: &str = "22";

/// Our sources, below `worker/`.
const WORKER_SOURCES: [&str; 5] = ["worker.c", "globals.c", "codec.c", "harden.c", "rejections.c"];
const WORKER_HEADERS: [&str; 15] = [
    "callee.h",
    "codec.h",
    "collector.h",
    "globals.h",
    "harden.h",
    "host.h",
    "kept_shapes.h",
    "lookahead.h",
    "ordinary.h",
    "ordinary_object.h",
    "permanent.h",
    "references.h",
    "rejections.h",
    "source_name.h",
    "stack_limit.h",
];

/// Sources of QuickJS-ng, below the folder of the crate rquickjs-sys. Some have [`seams`].
const QUICKJS_SOURCES: [&str; 5] = [
    "quickjs/quickjs.c",
    "quickjs/libregexp.c",
    "quickjs/libunicode.c",
    "quickjs/dtoa.c",
    "wasm-shim/shim.c",
];

/// Wasm features and language options for every source.
const COMMON_FLAGS: [&str; 11] = [
    "--target=wasm32-unknown-unknown",
    "-std=gnu11",
    "-O2",
    "-nostdlibinc",
    "-funsigned-char",
    "-fno-strict-aliasing",
    "-mno-reference-types",
    "-mno-multivalue",
    "-mbulk-memory",
    "-msign-ext",
    "-mnontrapping-fptoint",
];

/// Flags for compiling QuickJS-ng without an operating system: the macros of its own wasm build.
/// `NDEBUG` leaves out its dumps, which would test a flag before every opcode.
const QUICKJS_FLAGS: [&str; 6] =
    ["-D_GNU_SOURCE", "-DEMSCRIPTEN=1", "-DFE_DOWNWARD=0", "-DFE_UPWARD=0", "-DNDEBUG", "-w"];

/// Size of the stack, which lies below everything else, so that its overflow cannot touch anything.
const STACK_BYTES: u32 = 1024 * 1024;

/// Memory limit of a vat: 2,048 pages. The booted engine takes 11 MB.
const MAX_MEMORY_BYTES: u32 = 128 * 1024 * 1024;

pub(crate) const INSTALL: &str = "\
The JavaScript engine is compiled to wasm by clang and lld of LLVM 22, with LLVM's compiler-rt for \
wasm32.
  Debian, Ubuntu: make setup, or apt-get install clang-22 lld-22 libclang-rt-22-dev-wasm32
  elsewhere: install LLVM 22 with its wasm32 target; if the programs have other names than
             clang-22 and wasm-ld-22, set CAPSTAN_CLANG and CAPSTAN_WASM_LD; if clang does not find
             libclang_rt.builtins for wasm32, set CAPSTAN_WASM_BUILTINS to that file.";

/// Writes `worker.wasm` and checks it against the committed hash.
pub(crate) fn build() -> Result<(), BuildError> {
    let worker = package_dir().join("worker");
    for file in WORKER_SOURCES.iter().chain(&WORKER_HEADERS) {
        println!("cargo::rerun-if-changed={}", worker.join(file).display());
    }
    println!("cargo::rerun-if-changed=build");
    for variable in ["CAPSTAN_CLANG", "CAPSTAN_WASM_LD", "CAPSTAN_WASM_BUILTINS", "CAPSTAN_BLESS"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let toolchain = Toolchain::find()?;
    let quickjs = quickjs_dir()?;
    let objects = compile_all(&toolchain, &quickjs, &worker)?;
    let module = link(&toolchain, &quickjs, &objects)?;
    check_hash(&module, &toolchain)?;
    write_output("worker.sha256", sha256_hex(&module).as_bytes())
}

/// Programs that produce the module.
struct Toolchain {
    clang: String,
    linker: String,
    builtins: PathBuf,
    /// Their versions, as they print them.
    versions: String,
}

impl Toolchain {
    fn find() -> Result<Self, BuildError> {
        let clang = env::var("CAPSTAN_CLANG").unwrap_or(format!("clang-{LLVM_MAJOR}"));
        let linker = env::var("CAPSTAN_WASM_LD").unwrap_or(format!("wasm-ld-{LLVM_MAJOR}"));
        let versions = format!("{} / {}", version(&clang)?, version(&linker)?);
        let builtins = match env::var_os("CAPSTAN_WASM_BUILTINS") {
            Some(path) => PathBuf::from(path),
            None => {
                let target = ["--target=wasm32-unknown-wasi", "-print-libgcc-file-name"];
                PathBuf::from(run(Command::new(&clang).args(target))?.trim())
            }
        };
        if !builtins.is_file() {
            return Err(BuildError::Builtins(builtins));
        }
        Ok(Self { clang, linker, builtins, versions })
    }
}

/// Returns the first line of `program --version`, which must name LLVM's expected major version.
fn version(program: &str) -> Result<String, BuildError> {
    let text = run(Command::new(program).arg("--version"))
        .map_err(|error| BuildError::Toolchain(Box::new(error)))?;
    let line = text.lines().next().unwrap_or_default().to_string();
    let is_expected = |word: &str| word.split('.').next() == Some(LLVM_MAJOR);
    match line.split_whitespace().any(is_expected) {
        true => Ok(line),
        false => Err(BuildError::Version { program: program.to_owned(), line }),
    }
}

/// Returns the folder of the crate rquickjs-sys, in the version that Cargo.lock names. Cargo
/// downloads the crate if necessary.
fn quickjs_dir() -> Result<PathBuf, BuildError> {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let manifest = package_dir().join("Cargo.toml");
    let metadata = run(Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked", "--manifest-path"])
        .arg(manifest))
    .map_err(|error| BuildError::Sources(Box::new(error)))?;
    let metadata: Value = serde_json::from_str(&metadata).map_err(BuildError::Metadata)?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let package = packages.iter().find(|package| package["name"] == "rquickjs-sys");
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|path| Path::new(path).parent());
    folder.map(Path::to_path_buf).ok_or(BuildError::Unlocked)
}

/// Compiles every source to an object file.
fn compile_all(
    toolchain: &Toolchain,
    quickjs: &Path,
    worker: &Path,
) -> Result<Vec<PathBuf>, BuildError> {
    let quickjs_sources = QUICKJS_SOURCES.iter().map(|name| {
        let source = quickjs.join(name);
        match seams::of(name).as_slice() {
            [] => Ok((source, true)),
            seams => write_with_seams(&source, seams).map(|source| (source, true)),
        }
    });
    let worker_sources = WORKER_SOURCES.iter().map(|name| Ok((worker.join(name), false)));
    let mut objects = Vec::new();
    for source in quickjs_sources.chain(worker_sources) {
        let (source, is_quickjs) = source?;
        let stem = source.file_stem().unwrap_or(OsStr::new("object"));
        let object = out_dir().join(stem).with_extension("o");
        let mut command = Command::new(&toolchain.clang);
        command.args(COMMON_FLAGS);
        command.arg("-isystem").arg(quickjs.join("vendor/wasi-libc/include"));
        command.arg("-I").arg(quickjs.join("quickjs"));
        command.arg(prefix_map(quickjs)).arg(prefix_map(worker)).arg(prefix_map(&out_dir()));
        match is_quickjs {
            true => {
                let limit = worker.join("stack_limit.h");
                command.args(QUICKJS_FLAGS).arg("-include").arg(limit).arg("-I").arg(worker);
            }
            false => _ = command.args(["-Wall", "-Werror"]),
        }
        run(command.arg("-c").arg(&source).arg("-o").arg(&object))?;
        objects.push(object);
    }
    Ok(objects)
}

/// Applies the seams to `source`, writes the result to the output folder, and returns its path.
fn write_with_seams(source: &Path, seams: &[Seam]) -> Result<PathBuf, BuildError> {
    let text = read_text(source)?;
    let text = seams::apply(seams, text, &source.display())?;
    let name = source.file_name().unwrap_or_default();
    if name == "quickjs.c" {
        permanent::check(&text)?;
    }
    let path = out_dir().join(name);
    write_output(&name.to_string_lossy(), text.as_bytes())?;
    Ok(path)
}

/// Returns the flag that keeps the checkout's path out of the module.
fn prefix_map(folder: &Path) -> String {
    format!("-ffile-prefix-map={}=.", folder.display())
}

fn link(toolchain: &Toolchain, quickjs: &Path, objects: &[PathBuf]) -> Result<Vec<u8>, BuildError> {
    let module = out_dir().join("worker.wasm");
    let mut command = Command::new(&toolchain.linker);
    command.args(["--no-entry", "--stack-first", "--gc-sections", "--strip-all"]);
    command.args(["-z", &format!("stack-size={STACK_BYTES}")]);
    command.arg(format!("--max-memory={MAX_MEMORY_BYTES}"));
    command.args(objects);
    command.arg(quickjs.join("vendor/wasi-libc/lib/libc.a"));
    command.arg(&toolchain.builtins).arg("-o").arg(&module);
    run(&mut command)?;
    fs::read(&module).map_err(|error| BuildError::Read { path: module, error })
}

/// Compares the module's hash with the committed one: all nodes must run the same engine.
fn check_hash(module: &[u8], toolchain: &Toolchain) -> Result<(), BuildError> {
    let committed = package_dir().join("worker.sha256");
    println!("cargo::rerun-if-changed={}", committed.display());
    let found = format!("{}\n{}\n", sha256_hex(module), toolchain.versions);
    if env::var_os("CAPSTAN_BLESS").is_some() {
        return fs::write(&committed, found)
            .map_err(|error| BuildError::Write { path: committed, error });
    }
    let text = read_text(&committed)?;
    if text.lines().next() == found.lines().next() {
        return Ok(());
    }
    Err(BuildError::OtherModule { expected: text, found, committed })
}

fn read_text(path: &Path) -> Result<String, BuildError> {
    let text = fs::read_to_string(path);
    text.map_err(|error| BuildError::Read { path: path.to_path_buf(), error })
}

/// Runs a program to its end and returns what it printed.
fn run(command: &mut Command) -> Result<String, BuildError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return Err(BuildError::Start { program, error }),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(BuildError::Program { program, errors: errors.trim_end().to_owned() })
}
