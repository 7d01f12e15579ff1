//! Compiles `capstan/v1/*.proto` with protox, which needs no protoc, and generates the table of the services' methods.

use std::{env, error::Error, fmt::Write as _, fs, path::Path};

use prost_build::{Service, ServiceGenerator};
use protox::prost_reflect::{
    DescriptorPool, FieldDescriptor, Kind, MethodDescriptor, Value, prost::Message as _,
};

/// The service whose methods are messages of transactions. It only stands in the descriptors.
const MESSAGES: &str = "Msg";

fn main() -> Result<(), Box<dyn Error>> {
    const FILES: [&str; 4] = [
        "capstan/v1/options.proto",
        "capstan/v1/query.proto",
        "capstan/v1/tx.proto",
        "capstan/v1/types.proto",
    ];
    println!("cargo:rerun-if-changed=capstan");
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    let pool = compiler.descriptor_pool();
    fs::write(
        Path::new(&env::var("OUT_DIR")?).join("descriptors.bin"),
        compiler.file_descriptor_set().encode_to_vec(),
    )?;

    let mut config = prost_build::Config::new();
    config.type_attribute(".", "#[derive(serde::Serialize)]");
    let callable = pool.services().filter(|service| service.name() != MESSAGES);
    for method in callable.flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let request = format!(".{}", method.input().full_name());
        config.type_attribute(&request, "#[derive(serde::Deserialize)]");
        config.type_attribute(&request, "#[serde(default, deny_unknown_fields)]");
    }
    config.enable_type_names();
    config.service_generator(Box::new(MethodTable(pool)));
    let mut files = compiler.file_descriptor_set();
    files.file.retain(|file| file.package() == "capstan.v1");
    config.compile_fds(files)?;
    Ok(())
}

/// Writes, for each service, the table of its methods and the function that dispatches a call by it.
struct MethodTable(DescriptorPool);

impl ServiceGenerator for MethodTable {
    fn generate(&mut self, service: Service, out: &mut String) {
        if service.proto_name == MESSAGES {
            return;
        }
        let name = format!("{}.{}", service.package, service.proto_name);
        let descriptor = self.0.get_service_by_name(&name);
        let descriptor = descriptor.unwrap_or_else(|| panic!("no service {name}"));
        let methods: Vec<_> = descriptor.methods().collect();
        let constant = service.proto_name.to_uppercase();
        let (mut table, mut impls, mut bounds, mut arms) =
            (String::new(), String::new(), String::new(), String::new());
        for (index, (method, types)) in methods.iter().zip(&service.methods).enumerate() {
            let (request, response) = (&types.input_type, &types.output_type);
            let _ = writeln!(table, "    {},", entry(&name, method, types));
            let _ = write!(
                impls,
                "impl crate::Request for {request} {{\n    type Response = {response};\n    \
                 const METHOD: &'static crate::Method = &{constant}_METHODS[{index}];\n}}\n"
            );
            let _ = write!(bounds, " + crate::Handler<{request}>");
            let _ = writeln!(
                arms,
                "        {:?} => call.encode(server.handle(call.decode::<{request}>()?)?),",
                method.name()
            );
        }
        let _ = write!(
            out,
            "/// The methods of the service `{name}`, in the order of the `.proto` file.\n\
             pub const {constant}_METHODS: &[crate::Method] = &[\n{table}];\n\n{impls}\n\
             /// Lets `server` handle a call of `method`, one of [`{constant}_METHODS`]. Returns `None` for any other.\n\
             ///\n/// # Errors\n/// The request cannot be decoded, the handler fails, or the response cannot be encoded.\n\
             #[allow(clippy::implied_bounds_in_impls)]\n\
             pub fn dispatch_{}<C: crate::Call>(\n    method: &crate::Method,\n    call: &C,\n    \
             server: &(impl crate::Server<Error = C::Error>{bounds}),\n) -> Result<Option<C::Reply>, C::Error> {{\n    \
             let reply = match method.name {{\n{arms}        _ => return Ok(None),\n    }};\n    reply.map(Some)\n}}\n",
            service.proto_name.to_lowercase()
        );
    }
}

/// The table's entry for a method, as Rust source.
fn entry(service: &str, method: &MethodDescriptor, types: &prost_build::Method) -> String {
    let name = method.name();
    let path = option(method, "path");
    let path = path.unwrap_or_else(|| panic!("{name}: the option (path) is missing"));
    let input = method.input();
    let fields: String = input.fields().map(|field| self::field(name, &field)).collect();
    for variable in path.split('/').filter_map(|segment| segment.strip_prefix('{')) {
        let variable = variable.trim_end_matches('}');
        assert!(input.get_field_by_name(variable).is_some(), "{name}: no field {variable}");
    }
    let json_field = option(method, "json_field").map(|field| {
        let output = method.output();
        let found = output.get_field_by_name(&field);
        found.unwrap_or_else(|| panic!("{name}: no field {field}")).name().to_owned()
    });
    let about = types.comments.leading.join(" ");
    format!(
        "crate::Method {{ name: {name:?}, full_path: \"/{service}/{name}\", path: {path:?}, about: {:?}, \
         fields: &[{fields}], json_field: {json_field:?} }}",
        about.trim()
    )
}

/// A field of a request, as Rust source.
fn field(method: &str, field: &FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::String => "Text",
        Kind::Uint32 => "U32",
        Kind::Uint64 => "U64",
        other => panic!("{method}: requests have no fields of type {other:?} yet"),
    };
    let name = field.name();
    format!("crate::Field {{ name: {name:?}, kind: crate::FieldKind::{kind} }}, ")
}

/// The value of one of the options of `options.proto`.
fn option(method: &MethodDescriptor, name: &str) -> Option<String> {
    let extension = method.parent_pool().get_extension_by_name(&format!("capstan.v1.{name}"))?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return None;
    }
    match options.get_extension(&extension).as_ref() {
        Value::String(text) => Some(text.clone()),
        other => panic!("option {name} is {other:?}"),
    }
}
