//! Bundlecaps: device nodes that stand for installed bundles. The vatAdmin device gives them, and so does a
//! device of its own, `bundle`, as in SwingSet's documentation: for vats that may find bundles and do
//! nothing else.

use super::{Answer, CallResult, DeviceFailure, Invocation, ROOT, thrown};
use crate::{
    capdata::{Builder, Json},
    ids::{BundleId, BundleKind, DeviceId, Endpoint},
    state::{bundle::InstalledBundle, handle::State, keys},
};

/// The name of the bundle device.
pub const BUNDLE: &str = "bundle";

impl State<'_> {
    pub(super) fn call_bundle(&mut self, call: &Invocation<'_>) -> CallResult {
        match call.method {
            _ if call.node != ROOT => self.call_bundlecap(call),
            "getBundleCap" | "getNamedBundleCap" | "getBundleIDByName" => self.find_bundle(call),
            method => thrown(format!("target[{method}] does not exist")),
        }
    }

    /// `getBundleCap(bundleID)`, `getNamedBundleCap(name)`, `getBundleIDByName(name)`.
    pub(super) fn find_bundle(&mut self, call: &Invocation<'_>) -> CallResult {
        if call.method == "getBundleCap" {
            let id = call.text(0, "bundleID")?;
            if id.parse::<BundleId>().is_err() {
                return thrown("getBundleCap() not a bundleID");
            }
            return self.bundlecap(call.device, &id);
        }
        let id = self.named_bundle(&call.text(0, "name")?)?;
        match call.method {
            "getBundleIDByName" => Ok(Answer::Text(id)),
            _ => self.bundlecap(call.device, &id),
        }
    }

    pub(super) fn call_bundlecap(&mut self, call: &Invocation<'_>) -> CallResult {
        let Invocation { device, node: node_ref, method, .. } = *call;
        let endpoint = Endpoint::Device(device);
        let slot = keys::vatstore(endpoint, format!("slot.{node_ref}"));
        let Some(id) = self.over.get(&slot)? else {
            return thrown(format!("unknown device node {node_ref}"));
        };
        let id = String::from_utf8_lossy(&id).into_owned();
        match method {
            "getBundleID" => Ok(Answer::Text(id)),
            "getBundle" => self.bundle_record(&id),
            _ => thrown(format!("bundlecap[{method}] does not exist")),
        }
    }

    /// The bundle as JavaScript knows it.
    fn bundle_record(&mut self, id: &str) -> CallResult {
        use base64::Engine as _;
        let Some(InstalledBundle { hash, .. }) = self.get(&keys::bundle(id))? else {
            return thrown(format!("bundle {id} is missing"));
        };
        let Some(bytes) = self.over.blob(&hash)? else {
            return thrown(format!("bundle {id} is missing"));
        };
        let Some((BundleKind::EndoZip, sha512)) = BundleKind::split(id) else {
            return thrown("a wasm bundle has no JavaScript form");
        };
        let mut builder = Builder::default();
        let base64 = base64::engine::general_purpose::STANDARD.encode(bytes);
        Ok(Answer::Value(Json::Object(vec![
            ("endoZipBase64".to_owned(), builder.text(&base64)),
            ("endoZipBase64Sha512".to_owned(), builder.text(sha512)),
            ("moduleFormat".to_owned(), builder.text("endoZipBase64")),
        ])))
    }

    fn named_bundle(&mut self, name: &str) -> std::result::Result<String, DeviceFailure> {
        match self.get(&keys::bundle_name(name))? {
            Some(id) => Ok(id),
            None => thrown(format!("unregistered bundle name '{name}'")),
        }
    }

    /// Returns the device node that stands for an installed bundle, or `undefined` if it is not installed.
    fn bundlecap(&mut self, device: DeviceId, id: &str) -> CallResult {
        let endpoint = Endpoint::Device(device);
        let by_id = keys::vatstore(endpoint, format!("id.{id}"));
        if let Some(number) = self.get::<u64>(&by_id)? {
            return Ok(Answer::Node(self.device_export(device, number)?));
        }
        if self.over.get(&keys::bundle(id))?.is_none() {
            return Ok(Answer::Undefined);
        }
        let next = keys::vatstore(endpoint, "nextDev");
        let number = self.get::<u64>(&next)?.unwrap_or(1);
        self.put(&next, &(number + 1))?;
        self.put(&by_id, &number)?;
        let slot = keys::vatstore(endpoint, format!("slot.d+{number}"));
        self.over.set(&slot, id.as_bytes().to_vec());
        Ok(Answer::Node(self.device_export(device, number)?))
    }
}
