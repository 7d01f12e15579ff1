//! Scripts that boot the engine: our shims, SES lockdown, and the supervisor with liveslots.
//!
//! The last two are Agoric's npm packages with seams applied. A seam is a text that is found
//! exactly once, and its replacement. Sources are string literals in the bundles, so that `\n` is a
//! backslash and an n.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    cheaper,
    error::BuildError,
    package_dir,
    seams::{self, Seam},
    sha256_hex, write_output,
};

type Seams = &'static [Seam];

/// Output, path below `node_modules`, SHA-256 and seams of each published bundle.
const BUNDLES: [(&str, &str, &str, Seams); 2] = [
    (
        "lockdown.js",
        "@agoric/xsnap-lockdown/dist/lockdown.bundle",
        "40a8ea620c16222d0aba5c07a9d2e549c959b702820529fdbcad5a649602ded5",
        &LOCKDOWN,
    ),
    (
        "supervisor.js",
        "@agoric/swingset-xsnap-supervisor/dist/supervisor.bundle",
        "4751467ce397e39f6445d34eab978d5f7d317f41dba9952b4c6fbbfd49fb9894",
        &SUPERVISOR,
    ),
];

/// Seam of lockdown: tests the end of an operation's name, one of six, without a regular
/// expression.
///
/// The expression tries every prefix of the name at each eventual send, which took a twentieth of a
/// message's time.
const LOCKDOWN: [Seam; 1] = [(
    "const SEND_ONLY_RE = /^(.*)SendOnly$/;",
    "const SEND_ONLY_RE = { exec: name => name.endsWith('SendOnly') ? [name, name.slice(0, -8)] : null };",
)];

/// Seams of the supervisor: load a bundle before the vat that runs it has an id or makes a syscall.
/// The resulting image is the start of every vat of the bundle.
///
/// * `setBundle` takes a fourth argument, which is true to load the bundle at once. `setVatID`
///   names the vat.
/// * A fifth argument is true if the bundle is loaded for vats that are new. Then what `startVat` does before the vat's own
///   code is done with the load, as `src/beginning.js` says.
/// * Liveslots passes the globals of vat code on when it is created, and takes its id later. Its
///   marshaller uses the id in the names of errors.
/// * Functions in `VatData` make a syscall first if they are called before `startVat`, which ends
///   the attempt. Only `startVat` sets up the kinds and ids that they need.
/// * Objects that a load leaves belong to the old generation, as in `seams.rs`: `gc(true)`.
/// * A root may be a hardened record of nothing but functions, as in SwingSet's documentation. The
///   vat's root is then a `Far` object with these functions.
/// * `enableVatstore` and `enableSetup` do what `src/options.js` says. Code that lists `vatPowers` finds those of
///   today's liveslots: `vatstore` is not enumerable.
/// * One call of a console is one command to the host, as `src/console.js` says. Liveslots handles the promise of a turn
///   only when the vat has come to rest, so that it is marked as handled before.
const SUPERVISOR: [Seam; 19] = [
    ("assert.typeof(marshalName, 'string');", "assert.typeof(`${marshalName}`, 'string');"),
    (
        "marshalName: `liveSlots:${forVatID}`,",
        "marshalName: { toString: () => `liveSlots:${forVatID}` },",
    ),
    (
        r"const vatGlobals = harden({\n    VatData: {\n",
        r"const afterStart = functions => Object.fromEntries(Object.entries(functions).map(([name, f]) => [name, (...args) => {\n    didStartVat || syscall.vatstoreGet('idCounters');\n    return f(...args);\n  }]));\n  const vatGlobals = harden({\n    VatData: afterStart({\n",
    ),
    (
        r"collectionManager.makeScalarBigWeakSetStore,\n    },\n  });\n",
        r"collectionManager.makeScalarBigWeakSetStore,\n    }),\n  });\n",
    ),
    (
        r"[PassStyleOfEndowmentSymbol]: passStyleOf,\n  });\n\n  function getRetentionStats() {",
        r"[PassStyleOfEndowmentSymbol]: passStyleOf,\n  });\n  let vpow;\n  const beginning = [\n    () => {\n      vpow = {\n        D,\n        exitVat,\n        exitVatWithFailure,\n        ...vatGlobals,\n        ...inescapableGlobalProperties,\n        ...vatPowers,\n      };\n      if (enableDisavow) {\n        vpow.disavow = disavow;\n      }\n      if (liveSlotsOptions.enableVatstore) {\n        const value = capstanOptions.makeVatstore(syscall);\n        Object.defineProperty(vpow, 'vatstore', { value });\n      }\n      harden(vpow);\n\n      vrm.initializeIDCounters();\n      vom.initializeKindHandleKind();\n      collectionManager.initializeStoreKindInfo();\n    },\n    () => {\n      baggage = collectionManager.provideBaggage();\n      watchedPromiseManager.preparePromiseWatcherTables();\n    },\n  ];\n  buildVatNamespace?.early?.(vatGlobals, inescapableGlobalProperties, id => {\n    forVatID = id;\n  }, beginning);\n\n  function getRetentionStats() {",
    ),
    (
        "const rootObject = await buildRootObject(vpow, vatParameters, baggage);",
        r"const given = await buildRootObject(vpow, vatParameters, baggage);\n    const isPlain =\n      typeof given === 'object' &&\n      given &&\n      Object.isFrozen(given) &&\n      Object.getPrototypeOf(given) === Object.prototype &&\n      Reflect.ownKeys(given).length > 0 &&\n      Reflect.ownKeys(given).every(key => {\n        const { value, enumerable } = Object.getOwnPropertyDescriptor(given, key);\n        return typeof value === 'function' && enumerable;\n      });\n    const rootObject = isPlain\n      ? Remotable('Alleged: root', undefined, { ...given })\n      : given;",
    ),
    (
        r"    const vpow = {\n      D,\n      exitVat,\n      exitVatWithFailure,\n      ...vatGlobals,\n      ...inescapableGlobalProperties,\n      ...vatPowers,\n    };\n    if (enableDisavow) {\n      vpow.disavow = disavow;\n    }\n    harden(vpow);\n\n    vrm.initializeIDCounters();\n    vom.initializeKindHandleKind();\n    collectionManager.initializeStoreKindInfo();\n",
        r"    beginning.shift()();\n",
    ),
    (
        r"\n    baggage = collectionManager.provideBaggage();\n    watchedPromiseManager.preparePromiseWatcherTables();\n",
        r"\n    beginning.shift()();\n",
    ),
    (
        "async function setBundle(vatID, bundle, liveSlotsOptions) {",
        r"let setVatID;\n  async function setBundle(vatID, bundle, liveSlotsOptions, isEarly, isNew) {\n    const recorder = capstanBeginning.makeRecorder();",
    ),
    (
        r"    async function buildVatNamespace(\n",
        r"    let loaded;\n    let beginning;\n    const load = (lsEndowments, inescapableGlobalProperties) =>\n      importBundle(bundle, {\n        endowments: { ...workerEndowments, ...lsEndowments },\n        inescapableGlobalProperties,\n      });\n\n    async function buildVatNamespace(\n",
    ),
    (
        r"const vatNS = await importBundle(bundle, {\n        endowments: { ...workerEndowments, ...lsEndowments },\n        inescapableGlobalProperties,\n      });",
        "const vatNS = await (loaded || load(lsEndowments, inescapableGlobalProperties));",
    ),
    (
        "    const ls = makeLiveSlots(",
        r"    if (isEarly) {\n      buildVatNamespace.early = (globals, inescapable, setID, steps) => {\n        loaded = load(globals, inescapable);\n        setVatID = setID;\n        beginning = steps;\n      };\n    }\n    const { enableSetup: isRaw = false } = liveSlotsOptions;\n    if (isRaw && isEarly) {\n      buildVatNamespace.early({}, {}, () => {});\n    }\n    const makeRaw = () => ({\n      dispatch: capstanOptions.makeRawDispatch({\n        load: () => buildVatNamespace({}, {}),\n        makeSyscall: makeSupervisorSyscall,\n        syscallToManager,\n        vatPowers,\n      }),\n    });\n    const ls = isRaw ? makeRaw() : makeLiveSlots(",
    ),
    (
        r"          const { print: savePrinter } = globalThis;\n          try {\n            globalThis.print = portSendingPrinter;\n            printAll(...args);\n          } finally {\n            globalThis.print = savePrinter;\n          }\n",
        r"          capstanConsole.printOnce(portSendingPrinter, printAll, args);\n",
    ),
    (
        "const p = Promise.resolve(delivery).then(unmeteredDispatch);",
        "const p = Promise.resolve(delivery).then(unmeteredDispatch);\\n      void p.catch(() => {});",
    ),
    (
        r"console.warn(`error during vat dispatch() of ${delivery}`, err);",
        r"capstanConsole.printOnce(globalThis.print, console.warn, [`${delivery[0]} failed`, err]);",
    ),
    (
        r"    const workerEndowments = {\n      console: makeVatConsole(makeLogMaker('vat')),\n",
        r"    const vatConsole = makeVatConsole(makeLogMaker('vat'));\n    capstanConsole.warnBy(vatConsole.warn);\n    const workerEndowments = {\n      console: vatConsole,\n",
    ),
    (
        r"    function syscallToManager(vatSyscallObject) {\n",
        r"    function syscallToManager(vatSyscallObject) {\n      if (recorder.isRecording()) {\n        return recorder.answer(vatSyscallObject);\n      }\n",
    ),
    (
        r"    return ['dispatchReady'];\n",
        r"    if (isEarly) {\n      await loaded;\n      if (isNew && beginning) {\n        meterControl.runWithoutMetering(() => recorder.record(beginning));\n      }\n      bundle = 'loaded';\n      globalThis.gc(true);\n    }\n    return ['dispatchReady'];\n",
    ),
    (
        r"return setBundle(args[0], args[1], liveSlotsOptions);\n      }\n",
        r"return setBundle(args[0], args[1], liveSlotsOptions, args[3], args[4]);\n      }\n      case 'setVatID': {\n        setVatID(args[0]);\n        return ['dispatchReady'];\n      }\n",
    ),
];

/// Writes one script for each bundle.
pub(crate) fn build() -> Result<(), BuildError> {
    let modules = package_dir().join("node_modules");
    for (output, path, sha256, seams) in BUNDLES {
        let path = modules.join(path);
        println!("cargo::rerun-if-changed={}", path.display());
        let script = seams::apply(seams, script(&path, sha256)?, &output)?;
        let cheaper: Vec<Seam> = match output {
            "lockdown.js" => cheaper::lockdown().collect(),
            _ => cheaper::supervisor().collect(),
        };
        let script = seams::apply(&cheaper, script, &output)?;
        write_output(output, script.as_bytes())?;
    }
    Ok(())
}

/// Returns a script that evaluates the `nestedEvaluate` bundle at `path`.
fn script(path: &Path, sha256: &'static str) -> Result<String, BuildError> {
    let (path, package) = (path.to_path_buf(), package_dir());
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => return Err(BuildError::Uninstalled { path, error, package }),
    };
    let found = sha256_hex(&bytes);
    if found != sha256 {
        return Err(BuildError::OtherBundle { path, found, expected: sha256, package });
    }
    let bundle: Value = match serde_json::from_slice(&bytes) {
        Ok(bundle) => bundle,
        Err(error) => return Err(BuildError::BundleJson { path, error }),
    };
    match (&bundle["moduleFormat"], &bundle["source"]) {
        (Value::String(format), Value::String(source)) if format == "nestedEvaluate" => {
            Ok(format!("({source}\n)()"))
        }
        _ => Err(BuildError::BundleForm(path)),
    }
}
