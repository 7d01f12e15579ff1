//! The descriptors of all services: Capstan's own, and those of the Cosmos SDK.

use std::collections::BTreeSet;

use capstan_proto::v1::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_reflect::{DescriptorError, DescriptorPool, prost_types::FileDescriptorSet};

/// The descriptors of the Cosmos SDK's services, with those of their messages.
const COSMOS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cosmos.bin"));

/// Returns the descriptors of all services and messages: Capstan's own, and those of the Cosmos SDK.
///
/// # Errors
/// They do not belong together, which is a bug of the build.
pub fn pool() -> Result<DescriptorPool, DescriptorError> {
    let mut pool = DescriptorPool::decode(COSMOS)?;
    let known: BTreeSet<String> = pool.files().map(|file| file.name().to_owned()).collect();
    let own = DescriptorPool::decode(FILE_DESCRIPTOR_SET)?;
    for file in own.files().filter(|file| !known.contains(file.name())) {
        pool.decode_file_descriptor_proto(file.encode_to_vec().as_slice())?;
    }
    Ok(pool)
}

/// Returns the descriptors as the reflection service takes them.
pub(crate) fn for_reflection(pool: &DescriptorPool) -> Vec<u8> {
    let files = pool.file_descriptor_protos().cloned().collect();
    FileDescriptorSet { file: files }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_of_both_are_there_with_their_rules() {
        let pool = pool().unwrap();
        for name in [
            "capstan.v1.Query",
            "capstan.v1.Msg",
            "cosmos.tx.v1beta1.Service",
            "cosmos.auth.v1beta1.Query",
            "cosmos.bank.v1beta1.Query",
            "cosmos.base.tendermint.v1beta1.Service",
            "cosmos.base.node.v1beta1.Service",
        ] {
            assert!(pool.get_service_by_name(name).is_some(), "{name}");
        }
        assert!(pool.get_extension_by_name("google.api.http").is_some());
        assert!(for_reflection(&pool).len() > 1000);
    }
}
