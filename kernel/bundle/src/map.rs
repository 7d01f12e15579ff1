//! The compartment map (`compartment-map.json`), which lists a bundle's files.
//!
//! ```text
//! {tags: [string…], entry: {compartment, module},
//!  compartments: {NAME: {location: NAME, name, label, modules: {SPECIFIER: module}}}}
//!
//! module: {location, parser, sha512}   the file NAME/location
//!         {compartment, module}        a module of another compartment
//!         {exit}                       a module of the host
//!         {deferredError}              an error that an import throws
//! ```
//!
//! Source: @endo/compartment-mapper 2, `compartment-map.js` and `digest.js`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// The reason for refusing a compartment map. It is part of a [`BundleError`](crate::BundleError).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompartmentMapError {
    /// The map is not JSON, or lacks a field, or has an unknown one. The text is the JSON reader's.
    #[error("{0}")]
    Json(String),
    /// A compartment's `location` is not its name.
    #[error("compartment {name:?} has location {location:?}")]
    Location {
        /// The compartment's name.
        name: String,
        /// The compartment's `location`.
        location: String,
    },
    /// A module does not have the fields of exactly one kind of module. The text names the module.
    #[error("{0} is of no known kind")]
    Kind(String),
    /// Two modules are the same file, with different hashes. The text is the file's path.
    #[error("two hashes for the file {0:?}")]
    TwoHashes(String),
    /// The entry or a module refers to a module that does not exist.
    #[error(
        "{place} points to module {module:?} of compartment {compartment:?}, which is not there"
    )]
    Target {
        /// The origin of the reference: `entry`, or a module.
        place: String,
        /// The compartment that is referred to.
        compartment: String,
        /// The module that is referred to.
        module: String,
    },
}

/// A file of the bundle: a module's source.
pub(crate) struct Module {
    /// The path in the archive.
    pub(crate) path: String,
    /// The SHA-512 of the content in hexadecimal.
    pub(crate) sha512: String,
}

/// Returns the files that a compartment map names, each once.
///
/// Their order is the one in which Endo archives them: by compartment, then by specifier.
pub(crate) fn modules(text: &[u8]) -> Result<Vec<Module>, CompartmentMapError> {
    let map: CompartmentMap =
        serde_json::from_slice(text).map_err(|e| CompartmentMapError::Json(e.to_string()))?;
    map.check_target("entry", &map.entry)?;
    let mut modules: Vec<Module> = Vec::new();
    let mut seen = BTreeMap::new();
    for (name, compartment) in &map.compartments {
        if compartment.location != *name {
            let (name, location) = (name.clone(), compartment.location.clone());
            return Err(CompartmentMapError::Location { name, location });
        }
        for (specifier, descriptor) in &compartment.modules {
            let place = format!("module {specifier:?} of compartment {name:?}");
            match descriptor.kind().ok_or_else(|| CompartmentMapError::Kind(place.clone()))? {
                Kind::Link(target) => map.check_target(&place, &target)?,
                Kind::Elsewhere => {}
                Kind::File { location, sha512 } => {
                    let path = format!("{name}/{location}");
                    match seen.insert(path.clone(), sha512.clone()) {
                        None => modules.push(Module { path, sha512 }),
                        Some(other) if other == sha512 => {}
                        Some(_) => return Err(CompartmentMapError::TwoHashes(path)),
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
    /// Checks that the module exists to which `place` refers.
    fn check_target(&self, place: &str, target: &Target) -> Result<(), CompartmentMapError> {
        let Target { compartment, module } = target;
        let found = self.compartments.get(compartment);
        match found.is_some_and(|found| found.modules.contains_key(module)) {
            true => Ok(()),
            false => Err(CompartmentMapError::Target {
                place: place.to_owned(),
                compartment: compartment.clone(),
                module: module.clone(),
            }),
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

/// A module of any kind, as its JSON fields.
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
    /// A module of the host, or an error that an import throws. The archive has no file for it.
    Elsewhere,
}

impl Descriptor {
    /// Returns the kind of the module, or `None` if the fields are not those of exactly one kind.
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
