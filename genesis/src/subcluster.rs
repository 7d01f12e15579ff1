//! System subclusters: sets of vats that the chain launches once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{GenesisError, GenesisVat, invalid, state::is_vat_name};

/// Upper bound of the vats of a subcluster, of its services and of its io channels.
const MAX_NAMES: usize = 32;

/// A system subcluster, which the chain launches once after its bootstrap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisSubcluster<V = GenesisVat> {
    /// The unique name.
    pub name: String,
    /// The [`GenesisCluster`]: vats and what they are given.
    pub config: GenesisCluster<V>,
}

/// The configuration of a system subcluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisCluster<V = GenesisVat> {
    /// The vat that receives `bootstrap(roots, services)`.
    pub bootstrap: String,
    /// The kernel services that bootstrap receives, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// The [`GenesisIo`] channels that bootstrap receives, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub io: BTreeMap<String, GenesisIo>,
    /// The [`GenesisVats`], which are launched in the order of their names.
    pub vats: GenesisVats<V>,
}

/// An io channel of a system subcluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, serde_json::Value>")]
pub struct GenesisIo {
    /// The ways in which data flows: `in`, `out` or `inout`. Empty stands for `inout`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub direction: String,
}

/// Options of io channels that other kernels have, for ends that are files, sockets and consoles.
const IO_ELSEWHERE: &[&str] = &["type", "unit", "path", "hostport"];

impl TryFrom<BTreeMap<String, serde_json::Value>> for GenesisIo {
    type Error = String;

    fn try_from(fields: BTreeMap<String, serde_json::Value>) -> Result<Self, String> {
        let mut io = Self::default();
        for (field, value) in fields {
            match (field.as_str(), value) {
                ("direction", serde_json::Value::String(text)) => io.direction = text,
                ("direction", _) => return Err("direction must be in, out or inout".to_owned()),
                (other, _) if IO_ELSEWHERE.contains(&other) => {
                    return Err(format!(
                        "there is no {other} on a chain: transactions and queries are the other end of an io channel"
                    ));
                }
                (other, _) => return Err(format!("unknown option {other} of an io channel")),
            }
        }
        Ok(io)
    }
}

/// Vats by name, in the order of their names. A name that stands twice is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisVats<V = GenesisVat>(pub Vec<(String, V)>);

impl<V: Serialize> Serialize for GenesisVats<V> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(self.0.len()))?;
        for (name, vat) in &self.0 {
            map.serialize_entry(name, vat)?;
        }
        map.end()
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for GenesisVats<V> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(VatsVisitor(PhantomData))
    }
}

struct VatsVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for VatsVisitor<V> {
    type Value = GenesisVats<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("vats by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<GenesisVats<V>, A::Error> {
        let (mut vats, mut seen) = (Vec::new(), BTreeSet::new());
        while let Some((name, vat)) = map.next_entry::<String, V>()? {
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format!("vat {name:?} stands twice")));
            }
            vats.push((name, vat));
        }
        // Consensus engines pass the document on with its fields in any order.
        vats.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(GenesisVats(vats))
    }
}

/// Checks system subclusters. `is_installed` tells whether a vat's bundle is in the document, and `lacks` whether a
/// service of that name would have to be asked for and was not.
pub(crate) fn validate(
    subclusters: &[GenesisSubcluster],
    is_installed: impl Fn(&GenesisVat) -> bool,
    lacks: impl Fn(&str) -> bool,
) -> Result<(), GenesisError> {
    const FIELD: &str = "app_state.kernel.system_subclusters";
    let mut names = BTreeSet::new();
    for GenesisSubcluster { name, config } in subclusters {
        if !is_vat_name(name) {
            let problem = format!("{name:?}: a name is 1 to 64 letters, digits, _ or -");
            return Err(invalid(FIELD, problem));
        }
        if !names.insert(name) {
            let problem = format!("Duplicate system subcluster names in config: {name}");
            return Err(invalid(FIELD, problem));
        }
        let field = |part: &str| format!("{FIELD}.{name}.config.{part}");
        let count = config.vats.0.len();
        if count == 0 || count > MAX_NAMES {
            let problem = format!("a subcluster has 1 to {MAX_NAMES} vats, not {count}");
            return Err(invalid(field("vats"), problem));
        }
        for (vat_name, vat) in &config.vats.0 {
            let field = field(&format!("vats.{vat_name}"));
            if !is_vat_name(vat_name) {
                return Err(invalid(field, "a vat's name is 1 to 64 letters, digits, _ or -"));
            }
            if !is_installed(vat) {
                let problem = format!("{} is not one of app_state.bundles", vat.bundle);
                return Err(invalid(format!("{field}.bundle"), problem));
            }
        }
        if !config.vats.0.iter().any(|(vat, _)| *vat == config.bootstrap) {
            let problem = format!("invalid bootstrap vat name {}", config.bootstrap);
            return Err(invalid(field("bootstrap"), problem));
        }
        validate_given(config, field, &lacks)?;
    }
    Ok(())
}

/// Checks what a subcluster is given.
fn validate_given(
    config: &GenesisCluster,
    field: impl Fn(&str) -> String,
    lacks: impl Fn(&str) -> bool,
) -> Result<(), GenesisError> {
    let count = config.services.len();
    if count > MAX_NAMES {
        return Err(invalid(field("services"), format!("{count} are more than {MAX_NAMES}")));
    }
    let mut seen = BTreeSet::new();
    for service in &config.services {
        if !seen.insert(service) {
            return Err(invalid(field("services"), format!("{service:?} stands twice")));
        }
        if !config.io.contains_key(service) && lacks(service) {
            let problem = format!(
                "no registered kernel service '{service}': app_state.kernel.services has to name it"
            );
            return Err(invalid(field("services"), problem));
        }
    }
    if config.io.len() > MAX_NAMES {
        let problem = format!("{} are more than {MAX_NAMES}", config.io.len());
        return Err(invalid(field("io"), problem));
    }
    for (name, io) in &config.io {
        let field = field(&format!("io.{name}"));
        if !is_vat_name(name) {
            return Err(invalid(field, "a channel's name is 1 to 64 letters, digits, _ or -"));
        }
        if !["", "in", "out", "inout"].contains(&io.direction.as_str()) {
            return Err(invalid(format!("{field}.direction"), "expected in, out or inout"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AppState, GenesisBundle, GenesisService};

    fn state() -> AppState {
        let id: crate::BundleId = format!("w1-{}", "00".repeat(32)).parse().unwrap();
        let vat = GenesisVat::new(id.clone());
        let vats = vec![("z".to_owned(), vat.clone()), ("a".to_owned(), vat)];
        let config = GenesisCluster {
            bootstrap: "z".to_owned(),
            services: vec![],
            io: BTreeMap::new(),
            vats: GenesisVats(vats),
        };
        let mut state = AppState::default();
        state.bundles.push(GenesisBundle::new(id, None, b"bytes"));
        state.kernel.system_subclusters = vec![GenesisSubcluster { name: "one".into(), config }];
        state
    }

    #[test]
    fn vats_are_read_in_the_order_of_their_names() {
        let json = serde_json::to_string(&state()).unwrap();
        let read = AppState::from_json(json.as_bytes()).unwrap();
        let vats = &read.kernel.system_subclusters[0].config.vats.0;
        assert_eq!(vats.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "z"]);
        assert_eq!(serde_json::to_string(&read).unwrap().len(), json.len());
        let twice = json.replace("\"a\":{", "\"z\":{");
        let error = AppState::from_json(twice.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("vat \"z\" stands twice"), "{error}");
    }

    #[test]
    fn services_of_the_chain_and_of_its_vats_are_given() {
        let mut state = state();
        let given = ["chain", "bridgeConveyor", "oracle"].map(str::to_owned);
        state.kernel.system_subclusters[0].config.services = given.into();
        state.kernel.services = [GenesisService::Chain, GenesisService::BridgeConveyor].into();
        state.validate().unwrap();
    }

    #[test]
    fn io_channels_have_a_direction_and_no_option_of_another_kernel() {
        let mut state = state();
        let config = &mut state.kernel.system_subclusters[0].config;
        config.io.insert("console".into(), GenesisIo::default());
        config.io.insert("log".into(), GenesisIo { direction: "out".into() });
        config.services = vec!["log".into()];
        state.validate().unwrap();
        let json = serde_json::to_string(&state).unwrap();
        assert!(json.contains(r#""io":{"console":{},"log":{"direction":"out"}}"#), "{json}");
        let read = AppState::from_json(json.as_bytes()).unwrap();
        assert_eq!(
            read.kernel.system_subclusters[0].config.io,
            state.kernel.system_subclusters[0].config.io
        );
        for (option, words) in [
            ("type", "there is no type on a chain"),
            ("unit", "there is no unit on a chain"),
            ("fly", "unknown option fly"),
        ] {
            let odd =
                json.replace("{\"direction\":\"out\"}", &format!("{{\"{option}\":\"line\"}}"));
            let error = AppState::from_json(odd.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        type Spoil = fn(&mut AppState);
        let cases: &[(Spoil, &str)] = &[
            (
                |s| {
                    let again = s.kernel.system_subclusters[0].clone();
                    s.kernel.system_subclusters.push(again);
                },
                "Duplicate system subcluster names in config: one",
            ),
            (|s| s.kernel.system_subclusters[0].name = "a b".into(), "\"a b\""),
            (
                |s| s.kernel.system_subclusters[0].config.bootstrap = "nobody".into(),
                "invalid bootstrap vat name nobody",
            ),
            (|s| s.kernel.system_subclusters[0].config.vats.0.clear(), "1 to 32 vats"),
            (|s| s.kernel.system_subclusters[0].config.vats.0[1].0 = "a b".into(), "vats.a b"),
            (|s| s.bundles.clear(), "one.config.vats.z.bundle"),
            (
                |s| s.kernel.system_subclusters[0].config.services = vec!["x".into(); 2],
                "\"x\" stands twice",
            ),
            (
                |s| s.kernel.system_subclusters[0].config.services = vec!["chain".into()],
                "no registered kernel service 'chain'",
            ),
            (
                |s| {
                    let io = &mut s.kernel.system_subclusters[0].config.io;
                    io.insert("x".into(), GenesisIo { direction: "up".into() });
                },
                "config.io.x.direction: expected in, out or inout",
            ),
            (
                |s| {
                    let io = &mut s.kernel.system_subclusters[0].config.io;
                    io.insert("a b".into(), GenesisIo::default());
                },
                "config.io.a b: a channel's name",
            ),
            (
                |s| {
                    let io = &mut s.kernel.system_subclusters[0].config.io;
                    io.extend((0..33).map(|n| (format!("n{n}"), GenesisIo::default())));
                },
                "config.io: 33 are more than 32",
            ),
        ];
        for (spoil, text) in cases {
            let mut state = state();
            spoil(&mut state);
            let error = state.validate().unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
