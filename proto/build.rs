//! Compiles `capstan/v1/*.proto` with protox, which needs no protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILES: [&str; 3] =
        ["capstan/v1/types.proto", "capstan/v1/tx.proto", "capstan/v1/query.proto"];
    println!("cargo:rerun-if-changed=capstan");
    let descriptors = protox::compile(FILES, ["."])?;
    let mut config = prost_build::Config::new();
    // The answers to queries have a JSON form of the same shape.
    config.type_attribute(".", "#[derive(serde::Serialize)]");
    config.type_attribute(".", "#[serde(rename_all = \"camelCase\")]");
    config.enable_type_names();
    config.compile_fds(descriptors)?;
    Ok(())
}
