//! Capdata as the kernel has it: with krefs.
//!
//! The encoding is [`capstan_passable`]'s. What is here binds it to [`KRef`], and makes the data that SwingSet's
//! kernel makes.

use capstan_abi::{CapData, JsString};
use capstan_passable::Reference;
pub(crate) use capstan_passable::{
    Json, leading_text, methargs, method_name, single_slot, single_slot_index, unescape,
};
pub use capstan_passable::{error, message};

use crate::ids::KRef;

/// Capdata whose slots are [`KRef`]s, as the kernel keeps it.
pub type KernelData = CapData<KRef>;

pub(crate) type Builder = capstan_passable::Builder<KRef>;
pub(crate) type Parsed = capstan_passable::Parsed<KRef>;

impl Reference for KRef {
    fn is_promise(&self) -> bool {
        matches!(self, Self::Promise(_))
    }
}

/// Returns the reason with which promises of an upgraded vat are rejected. `incarnation` is the one that
/// ended.
pub fn disconnection(upgrade_message: impl Into<JsString>, incarnation: u64) -> KernelData {
    let message = Json::string(upgrade_message);
    let fields = vec![
        ("incarnationNumber".to_owned(), Json::Scalar(incarnation.to_string())),
        ("name".to_owned(), Json::string("vatUpgraded")),
        ("upgradeMessage".to_owned(), message),
    ];
    Builder::default().finish(&Json::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disconnections_have_swingsets_form() {
        assert_eq!(
            disconnection("vat upgraded", 0).body,
            r##"#{"incarnationNumber":0,"name":"vatUpgraded","upgradeMessage":"vat upgraded"}"##
        );
        let lone = JsString::from_json(r#""!\ud800 \udfff""#).unwrap();
        assert_eq!(
            disconnection(lone, 3).body,
            r##"#{"incarnationNumber":3,"name":"vatUpgraded","upgradeMessage":"!!\ud800 \udfff"}"##
        );
    }
}
