//! The bootstrap call of SwingSet's first years.

use capstan_kernel_ports::{VatId, host::VatHost, store::Overlay};

use crate::{
    capdata::{self, Builder, Json},
    control::kernel::Kernel,
    error::Result,
    ids::KRef,
    state::{
        handle::{State, decode},
        keys,
        promise::ResultPolicy,
    },
};

impl<H: VatHost> Kernel<H> {
    /// Calls `method(argv, vats, devices)` of a static vat's root, as SwingSet's first years called
    /// `bootstrap`.
    ///
    /// `argv` is an array of strings. `vats` has the roots of all other static vats by name, but for the
    /// `hidden` ones. `devices` has the device nodes by name. Returns the promise for the result, held for
    /// the caller, or `None` if there is no such vat.
    pub fn introduce_vats(
        &mut self,
        over: &mut dyn Overlay,
        name: &str,
        method: &str,
        argv: &[String],
        hidden: &[&str],
    ) -> Result<Option<KRef>> {
        self.between_cranks(over, |state| {
            let Some(vat) = state.get::<VatId>(&keys::static_name(name))? else { return Ok(None) };
            let mut builder = Builder::default();
            let argv = Json::Array(argv.iter().map(|text| builder.text(text)).collect());
            let mut vats = Vec::new();
            for (other, value) in named(state, keys::STATIC_NAMES)? {
                if other != name && !hidden.contains(&other.as_str()) {
                    let root = state.export_root(decode(&value.0, &value.1)?)?;
                    vats.push((other, builder.slot(root, "root")));
                }
            }
            let mut devices = Vec::new();
            for (device, value) in named(state, keys::DEVICE_NAMES)? {
                let node = state.device_export(decode(&value.0, &value.1)?, 0)?;
                devices.push((device, builder.slot(node, "device")));
            }
            let args = vec![argv, Json::Object(vats), Json::Object(devices)];
            let methargs = capdata::methargs(builder, method, args);
            let root = state.export_root(vat)?;
            let result = state.send_from_kernel(root, methargs, ResultPolicy::Ignore)?;
            state.increment(result)?;
            Ok(Some(result))
        })
    }
}

/// Returns the entries whose keys begin with a prefix: the rest of the key, the key and the value.
fn named(state: &State<'_>, prefix: &[u8]) -> Result<Vec<(String, (Vec<u8>, Vec<u8>))>> {
    let name = |key: &[u8]| String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
    Ok(state.over.scan(prefix)?.into_iter().map(|entry| (name(&entry.0), entry)).collect())
}
