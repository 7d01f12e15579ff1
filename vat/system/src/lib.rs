//! The vats that every chain starts with, as Endo bundles.
//!
//! Each bundle is the JSON text of a record `{moduleFormat: "endoZipBase64", endoZipBase64,
//! endoZipBase64Sha512}`.

#![forbid(unsafe_code)]

/// The vatAdmin vat: creates, upgrades and ends vats for those who hold its service.
///
/// Its device's methods are those of SwingSet's vatAdmin device (`createMeter`, `createByBundleID`,
/// …) and `getVatStats(vatID)`, which gives a record of the numbers `objectCount`, `promiseCount`,
/// `deviceCount` and `transcriptCount`.
pub fn vat_admin_bundle() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/vat-admin.json"))
}

/// The chain's bootstrap vat. The kernel sends its root `provision(address)` at an account's first
/// transaction; the answer is the account's first object, with `createVat(bundleID, options)`,
/// `upgradeVat(adminNode, bundleID, options)`, `publish(name, object)`, `unpublish(name)` and
/// `lookup(name)`.
///
/// Vat parameters, a record: `defaultComputrons` and `maxComputrons`, both optional bigints, which
/// bound what a new vat's meter is filled with.
pub fn provisioner_bundle() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/provisioner.json"))
}

/// The timer vat: SwingSet's timer service over the kernel's timer device. Its root has
/// `createTimerService(device)`, which gives the service.
pub fn timer_bundle() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/timer.json"))
}

/// The vat of `capstan shell`, which no chain has. Its root has `introduce(argv, vats, devices)`, which
/// defines the vats' names for what is evaluated, and `evaluate(source, names)`: evaluates an
/// expression that declares these names, awaits its value, and answers with `{value, isUndefined}` or
/// `{thrown}`, texts for people.
pub fn shell_bundle() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/shell.json"))
}

/// The id (`b1-…`) of [`vat_admin_bundle`].
pub fn vat_admin_id() -> &'static str {
    id("vat-admin ")
}

/// The id (`b1-…`) of [`provisioner_bundle`].
pub fn provisioner_id() -> &'static str {
    id("provisioner ")
}

/// The id (`b1-…`) of [`timer_bundle`].
pub fn timer_id() -> &'static str {
    id("timer ")
}

/// The rest of the line of the built list of ids that starts with `prefix`; the build script writes
/// one for each vat.
fn id(prefix: &str) -> &'static str {
    let ids = include_str!(concat!(env!("OUT_DIR"), "/bundle-ids.txt"));
    ids.lines().find_map(|line| line.strip_prefix(prefix)).unwrap_or_default()
}
