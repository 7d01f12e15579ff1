//! The installation of a bundle, unless the chain has it already.

use std::path::Path;

use capstan_client::{ClientError, ErrorCode};
use serde_json::json;

use super::Sender;
use crate::bundle;
use crate::progress::during;

impl Sender {
    /// Installs the bundle in a file. Sends nothing if the chain has it, unless it is asked for `again`.
    pub(super) fn install_bundle(&self, file: &Path, again: bool) -> anyhow::Result<()> {
        let shown = file.display().to_string();
        let bundle = bundle::read_file(file)?;
        let size = bundle.bytes.len();
        let mut record = json!({"bundle_id": bundle.id, "bundle_bytes": size});
        if !again && self.has_bundle(bundle.id.as_ref())? {
            record["already_installed"] = true.into();
            self.output.whole_record(&record);
            let text = "The chain has this bundle already. Nothing was sent or paid; --again sends it all the same.";
            self.output.note("note", text);
            return Ok(());
        }
        let wait = format!("installing {shown} (a bundle of {size} bytes)");
        let outcome = during(wait, || self.wallet.install_bundle(&bundle))?;
        record["already_installed"] = false.into();
        record["tx_hash"] = outcome.hash.to_string().into();
        record["height"] = outcome.height.into();
        self.output.whole_record(&record);
        Ok(())
    }

    /// Returns whether the chain has a bundle.
    fn has_bundle(&self, id: &str) -> anyhow::Result<bool> {
        match self.wallet.client().bundle(id) {
            Ok(_) => Ok(true),
            Err(ClientError::Query { code, .. }) if code == ErrorCode::NotFound.number() => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}
