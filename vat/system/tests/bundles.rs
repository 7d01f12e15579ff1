//! Tests that the bundles of the system vats are sound.

#![allow(clippy::unwrap_used)] // tests

use capstan_vat_system::{
    provisioner_bundle, provisioner_id, timer_bundle, timer_id, vat_admin_bundle, vat_admin_id,
};

#[test]
fn the_bundles_verify_and_have_their_ids() {
    for (bundle, id) in [
        (vat_admin_bundle(), vat_admin_id()),
        (provisioner_bundle(), provisioner_id()),
        (timer_bundle(), timer_id()),
    ] {
        let verified = capstan_bundle::verify(bundle).unwrap();
        assert_eq!(verified.id(), id);
        assert_eq!(verified.to_json(), String::from_utf8_lossy(bundle).trim_end(), "canonical");
    }
}
