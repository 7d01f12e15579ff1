//! JavaScript vats for the tests: bundles made by the project's own bundler, a host per compiler, and
//! a small kernel that keeps a vatstore.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use capstan_abi::{
    CapData, Delivery, DeliveryResult, JsString, Message, Syscall, SyscallData, SyscallResult,
};
use capstan_kernel_ports::{
    Computrons, VatId,
    host::{Syscalls, VatHost, WorkerOptions, WorkerSource},
};
use capstan_vat_host::{Compiler, Compilers, HostOptions, JsEngine, MemoryMode, WasmHost};

/// Computrons that a delivery may spend.
pub(crate) const LIMIT: Computrons = Computrons(100_000_000);

/// A vat that counts, holds things and does what the language offers.
pub(crate) const COUNTER: &str = r#"
import { Far } from '@endo/far';
export const buildRootObject = (vatPowers, params, baggage) => {
  let count = 0;
  const held = [];
  return Far('root', {
    increment: () => (count += 1),
    make: name => Far(name, { name: () => name }),
    hold: n => {
      for (let i = 0; i < n; i += 1) held.push({ i, text: `item ${i}` });
      return held.length;
    },
    floats: x => [x / 3, Math.sqrt(x), Math.sin(x), x ** 0.1, Math.hypot(x, 1), 0 / 0].join(' '),
    regexp: text => text.replace(/(\w)(\w*)/g, (_, a, b) => a.toUpperCase() + b),
    log: (...args) => vatPowers.testLog(...args),
    fail: () => { throw Error('no'); },
  });
};
"#;

/// The project's JavaScript engine.
pub(crate) fn engine() -> JsEngine {
    let scripts = capstan_vat_js::boot_scripts();
    JsEngine {
        worker_wasm: capstan_vat_js::worker().to_vec(),
        boot_scripts: scripts.map(|(name, source)| (name.to_owned(), source.to_vec())).to_vec(),
    }
}

/// A host whose engine is compiled by `compiler`, from a cache that lives as long as the build.
pub(crate) fn host(compiler: Compiler) -> WasmHost {
    host_in(compiler, MemoryMode::default())
}

/// Returns such a host with this mode of memory.
pub(crate) fn host_in(compiler: Compiler, memory: MemoryMode) -> WasmHost {
    // One after the other, so that what one has compiled the next finds in the cache.
    static OPENING: Mutex<()> = Mutex::new(());
    let _guard = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    let options = HostOptions {
        // Each compiler boots an image of its own.
        cache_dir: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join(compiler.name())),
        compilers: Compilers { engine: compiler, modules: Compiler::Singlepass },
        memory,
        ..HostOptions::default()
    };
    WasmHost::open(engine(), options, &|_| ()).unwrap()
}

/// A bundle of `source`, as the bundler makes it.
pub(crate) struct Bundle {
    pub(crate) id: String,
    pub(crate) zip: Vec<u8>,
}

impl Bundle {
    /// Bundles the source of one vat with the project's own bundler.
    pub(crate) fn of(source: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (input, output) = (dir.path().join("vat.js"), dir.path().join("bundle.json"));
        std::fs::write(&input, source).unwrap();
        let tool = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../js/tools/bundle.mjs"));
        let run = Command::new("node").arg(tool).arg(&input).arg(&output).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let bundle: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&output).unwrap()).unwrap();
        Self {
            id: format!("b1-{}", bundle["endoZipBase64Sha512"].as_str().unwrap()),
            zip: STANDARD.decode(bundle["endoZipBase64"].as_str().unwrap()).unwrap(),
        }
    }

    /// Returns the bundle on the host's current engine.
    pub(crate) fn on(&self, host: &WasmHost) -> WorkerSource {
        WorkerSource::JavaScript {
            engine: host.engine(),
            bundle_id: self.id.clone(),
            zip: self.zip.clone(),
        }
    }
}

/// Kernel that keeps a vatstore and records all syscalls.
#[derive(Default)]
pub(crate) struct Kernel {
    pub(crate) vatstore: BTreeMap<JsString, JsString>,
    pub(crate) syscalls: Vec<Syscall>,
}

impl Syscalls for Kernel {
    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        let text = |text: Option<JsString>| text.map_or(SyscallData::Null, SyscallData::Text);
        let answer = match &syscall {
            Syscall::VatstoreGet { key } => text(self.vatstore.get(key).cloned()),
            Syscall::VatstoreGetNextKey { prior } => {
                let after = (std::ops::Bound::Excluded(prior.clone()), std::ops::Bound::Unbounded);
                text(self.vatstore.range::<JsString, _>(after).next().map(|(key, _)| key.clone()))
            }
            Syscall::VatstoreSet { key, value } => {
                self.vatstore.insert(key.clone(), value.clone());
                SyscallData::Null
            }
            Syscall::VatstoreDelete { key } => {
                self.vatstore.remove(key);
                SyscallData::Null
            }
            _ => SyscallData::Null,
        };
        self.syscalls.push(syscall);
        Some(SyscallResult::Ok(answer))
    }

    fn malformed(&mut self, problem: &str) -> Option<SyscallResult> {
        panic!("malformed syscall: {problem}");
    }

    fn console(&mut self, _: &str, _: &str, _: &str) {}
}

impl Kernel {
    /// Returns the body of the `n`th last resolution.
    pub(crate) fn last_resolution(&self) -> (bool, String) {
        let found = self.syscalls.iter().rev().find_map(|syscall| match syscall {
            Syscall::Resolve { resolutions } => {
                let first = &resolutions[0];
                Some((first.rejected, first.data.body.clone()))
            }
            _ => None,
        });
        found.expect("nothing was resolved")
    }
}

pub(crate) fn start_vat() -> Delivery {
    Delivery::StartVat { parameters: CapData { body: "#{}".to_owned(), slots: vec![] } }
}

/// A message to the root, whose result is `p-{result}`. `args` is the JSON array of arguments.
pub(crate) fn send(method: &str, args: &str, result: u64) -> Delivery {
    Delivery::Message {
        target: "o+0".to_owned(),
        message: Message {
            methargs: CapData { body: format!("#[\"{method}\",{args}]"), slots: vec![] },
            result: Some(format!("p-{result}")),
        },
    }
}

/// Starts a vat with a bundle and lets it build its root.
pub(crate) fn started(host: &mut WasmHost, vat: VatId, source: &WorkerSource, kernel: &mut Kernel) {
    host.start(vat, source, &WorkerOptions::default()).unwrap().verdict.unwrap();
    let delivered = host.deliver(vat, &start_vat(), LIMIT, kernel).unwrap();
    assert_eq!(delivered.result, DeliveryResult::Ok);
}
