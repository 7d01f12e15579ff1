//! `compartment-map.json`: which files a bundle consists of.
//!
//! Format: `{tags: [string…], entry: {compartment, module}, compartments: {NAME: {location: NAME,
//! name, label, modules: {SPECIFIER: module}}}}`, where a module is one of `{location, parser,
//! sha512}` (the file `NAME/location`), `{compartment, module}` (a module of another compartment),
//! `{exit}` (a module of the host) and `{deferredError}`. Source: @endo/compartment-mapper 2,
//! `compartment-map.js` and `digest.js`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// A file of the bundle.
pub(crate) struct Module {
    /// Its path in the archive.
    pub(crate) path: String,
    /// The SHA-512 of its contents in hexadecimal.
    pub(crate) sha512: String,
}

/// The files that the compartment map names, each once, in the order in which Endo archives them:
/// by compartment, then by specifier. The error says what is wrong with the map.
pub(crate) fn modules(text: &[u8]) -> Result<Vec<Module>, String> {
    let map: CompartmentMap = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    map.check_target("entry", &map.entry)?;
    let mut modules: Vec<Module> = Vec::new();
    let mut seen = BTreeMap::new();
    for (name, compartment) in &map.compartments {
        if compartment.location != *name {
            return Err(format!("compartment {name:?} has location {:?}", compartment.location));
        }
        for (specifier, descriptor) in &compartment.modules {
            let place = format!("module {specifier:?} of compartment {name:?}");
            match descriptor.kind().ok_or(format!("{place} is of no known kind"))? {
                Kind::Link(target) => map.check_target(&place, &target)?,
                Kind::Elsewhere => {}
                Kind::File { location, sha512 } => {
                    let path = format!("{name}/{location}");
                    match seen.insert(path.clone(), sha512.clone()) {
                        None => modules.push(Module { path, sha512 }),
                        Some(other) if other == sha512 => {}
                        Some(_) => return Err(format!("two hashes for the file {path:?}")),
                    }
                }
            }
        }
    }
    Ok(modules)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompartmentMap {
    #[serde(rename = "tags")]
    _tags: BTreeSet<String>,
    entry: Target,
    compartments: BTreeMap<String, Compartment>,
}

impl CompartmentMap {
    /// Checks that there is a module where `place` points to.
    fn check_target(&self, place: &str, target: &Target) -> Result<(), String> {
        let Target { compartment, module } = target;
        let found = self.compartments.get(compartment);
        match found.is_some_and(|found| found.modules.contains_key(module)) {
            true => Ok(()),
            false => Err(format!(
                "{place} points to module {module:?} of compartment {compartment:?}, which is not there"
            )),
        }
    }
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    compartment: String,
    module: String,
}

#[derive(Deserialize)]
struct Compartment {
    location: String,
    modules: BTreeMap<String, Descriptor>,
}

/// A module, of any kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Descriptor {
    location: Option<String>,
    parser: Option<String>,
    sha512: Option<String>,
    compartment: Option<String>,
    module: Option<String>,
    exit: Option<String>,
    #[serde(rename = "deferredError")]
    deferred_error: Option<String>,
}

enum Kind {
    File {
        location: String,
        sha512: String,
    },
    Link(Target),
    /// Nothing in the archive: the host's, or an error that is thrown when it is imported.
    Elsewhere,
}

impl Descriptor {
    /// None if the fields are not those of exactly one kind.
    fn kind(&self) -> Option<Kind> {
        let Self { location, parser, sha512, compartment, module, exit, deferred_error } = self;
        let names = [location, parser, sha512, compartment, module, exit, deferred_error];
        match names.map(Option::as_deref) {
            [Some(location), Some(_), Some(sha512), None, None, None, None] => {
                Some(Kind::File { location: location.to_string(), sha512: sha512.to_string() })
            }
            [None, None, None, Some(compartment), Some(module), None, None] => {
                let (compartment, module) = (compartment.to_string(), module.to_string());
                Some(Kind::Link(Target { compartment, module }))
            }
            [None, None, None, None, None, Some(_), None]
            | [None, None, None, None, None, None, Some(_)] => Some(Kind::Elsewhere),
            _ => None,
        }
    }
}
