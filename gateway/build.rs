//! Writes the descriptors of the Cosmos services that the gateway knows, with the files that they import.

use std::{collections::BTreeSet, env, error::Error, fs, path::Path};

use protox::file::{ChainFileResolver, DescriptorSetFileResolver, File, FileResolver};
use protox::prost_reflect::{
    DescriptorPool,
    prost::Message as _,
    prost_types::{
        FieldDescriptorProto, FileDescriptorSet,
        field_descriptor_proto::{Label, Type},
    },
};

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

/// Returns the descriptors of the Cosmos SDK, with the field `query` of `GetTxsEventRequest`, which is newer than they are.
fn cosmos_files() -> Result<FileDescriptorSet, Box<dyn Error>> {
    let mut set = FileDescriptorSet::decode(ibc_proto::FILE_DESCRIPTOR_SET)?;
    let files = set.file.iter_mut().filter(|file| file.package() == "cosmos.tx.v1beta1");
    let mut messages = files.flat_map(|file| &mut file.message_type);
    let request = messages.find(|message| message.name() == "GetTxsEventRequest");
    let request = request.ok_or("there is no GetTxsEventRequest")?;
    if request.field.iter().all(|field| field.name() != "query") {
        request.field.push(FieldDescriptorProto {
            name: Some("query".to_owned()),
            json_name: Some("query".to_owned()),
            number: Some(6),
            label: Some(Label::Optional.into()),
            r#type: Some(Type::String.into()),
            ..FieldDescriptorProto::default()
        });
    }
    Ok(set)
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");
    let mut resolver = ChainFileResolver::new();
    resolver.add(OwnFile);
    resolver.add(DescriptorSetFileResolver::new(cosmos_files()?));
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
