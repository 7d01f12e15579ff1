//! Writes the descriptors of the Cosmos services that the gateway knows, with the files that they import.

use std::{collections::BTreeSet, env, error::Error, fs, path::Path};

use protox::file::{ChainFileResolver, DescriptorSetFileResolver, File, FileResolver};
use protox::prost_reflect::DescriptorPool;

/// The file of this folder, whose name is that of the file that it replaces.
const OWN: &str = "cosmos/base/node/v1beta1/query.proto";
/// The files of services, and of messages that transactions and accounts hold.
const FILES: &[&str] = &[
    OWN,
    "cosmos/auth/v1beta1/auth.proto",
    "cosmos/auth/v1beta1/query.proto",
    "cosmos/bank/v1beta1/query.proto",
    "cosmos/bank/v1beta1/tx.proto",
    "cosmos/base/tendermint/v1beta1/query.proto",
    "cosmos/crypto/ed25519/keys.proto",
    "cosmos/crypto/multisig/keys.proto",
    "cosmos/crypto/secp256k1/keys.proto",
    "cosmos/gov/v1/query.proto",
    "cosmos/gov/v1beta1/query.proto",
    "cosmos/staking/v1beta1/query.proto",
    "cosmos/tx/v1beta1/service.proto",
    "google/api/annotations.proto",
];

/// Resolves [`OWN`] to the file in this folder.
struct OwnFile;

impl FileResolver for OwnFile {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            OWN => File::open(OWN, Path::new("proto/node.proto")),
            other => Err(protox::Error::file_not_found(other)),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");
    let mut resolver = ChainFileResolver::new();
    resolver.add(OwnFile);
    resolver.add(DescriptorSetFileResolver::decode(ibc_proto::FILE_DESCRIPTOR_SET)?);
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_files(FILES)?;
    let bytes = compiler.encode_file_descriptor_set();
    let pool = DescriptorPool::decode(bytes.as_slice())?;
    let names: BTreeSet<_> = pool.services().map(|s| s.full_name().to_owned()).collect();
    for name in ["cosmos.tx.v1beta1.Service", "cosmos.base.node.v1beta1.Service"] {
        assert!(names.contains(name), "there is no {name}");
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("cosmos.bin"), pool.encode_to_vec())?;
    Ok(())
}
