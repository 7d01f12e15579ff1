//! Bundles of the vats that every chain starts with, and of the shell's vat.
//!
//! Each is an Endo bundle: the JSON text of a record `{moduleFormat: "endoZipBase64",
//! endoZipBase64, endoZipBase64Sha512}`.
//!
//! ```
//! let bundle: serde_json::Value = serde_json::from_slice(capstan_vat_system::timer_bundle())?;
//! assert_eq!(bundle["moduleFormat"], "endoZipBase64");
//! assert!(capstan_vat_system::timer_id().starts_with("b1-"));
//! # Ok::<(), serde_json::Error>(())
//! ```

#![forbid(unsafe_code)]

/// Returns the bundle of the vatAdmin vat, which creates, upgrades and terminates vats for the
/// holders of its service.
///
/// Its device has the methods of SwingSet's vatAdmin device (`createMeter`, `createByBundleID`, …).
/// It also has `getVatStats(vatID)`, which returns a record of numbers: `objectCount`,
/// `promiseCount` and `deviceCount` of the vat's c-list, `transcriptCount`, and how many imports
/// it was given in all, as `objectImportsTotal` and its kin.
pub fn vat_admin_bundle() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/vat-admin.json"))
}

/// Returns the bundle of the provisioner, the chain's bootstrap vat.
///
/// The kernel sends its root `provision(address)` at an account's first transaction. The answer is
/// the account's first object. That object has the methods `createVat(bundleID, options)`,
/// `upgradeVat(adminNode, bundleID, options)`, `publish(name, object)`, `unpublish(name)` and
/// `lookup(name)`.
///
/// The vat parameters are a record of two optional bigints, `defaultComputrons` and
/// `maxComputrons`. They bound the initial value of a new vat's meter.
pub fn provisioner_bundle() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/provisioner.json"))
}

/// Returns the bundle of the timer vat, SwingSet's timer service over the kernel's timer device.
/// Its root has `createTimerService(device)`, which returns the service.
pub fn timer_bundle() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/timer.json"))
}

/// Returns the bundle of the vat behind `capstan shell`, which no chain contains.
///
/// Its root has two methods. `introduce(argv, vats, devices)` defines the names of vats for the
/// evaluated code. `evaluate(source, names)` evaluates an expression that declares these names and
/// awaits its value. It answers with `{value, isUndefined}` or `{thrown}`, which are texts for
/// people.
pub fn shell_bundle() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/shell.json"))
}

/// Returns the id (`b1-…`) of [`vat_admin_bundle`].
pub fn vat_admin_id() -> &'static str {
    id("vat-admin ")
}

/// Returns the id (`b1-…`) of [`provisioner_bundle`].
pub fn provisioner_id() -> &'static str {
    id("provisioner ")
}

/// Returns the id (`b1-…`) of [`timer_bundle`].
pub fn timer_id() -> &'static str {
    id("timer ")
}

/// Returns the rest of the line that starts with `prefix`, from the built list of ids. The build
/// script writes one line for each vat.
fn id(prefix: &str) -> &'static str {
    let ids = include_str!(concat!(env!("OUT_DIR"), "/bundle-ids.txt"));
    ids.lines().find_map(|line| line.strip_prefix(prefix)).unwrap_or_default()
}
