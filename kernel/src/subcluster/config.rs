//! The configuration of a subcluster, and how it is read from what a vat gives.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    capdata::{Json, KernelData, Parsed, unescape},
    ids::canonical_decimal,
    state::{
        io_channel::{IoChannel, IoDirection},
        static_vat::StaticVat,
        vat::Threshold,
    },
    subcluster::launch::LaunchError,
};

/// Upper bound of the vats of a subcluster, of its services and of its io channels.
pub const MAX_NAMES: usize = 32;

/// Options of io channels that other kernels have, for ends that are files, sockets and consoles.
const IO_ELSEWHERE: &[&str] = &["type", "unit", "path", "hostport"];

/// Upper bound of a name's length.
const MAX_NAME: usize = 100;

/// The configuration of a [`Subcluster`](super::Subcluster).
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SubclusterConfig {
    /// The vat whose root gets `bootstrap(roots, services)`, with the roots of all of them by name. `None` if
    /// nobody is introduced.
    pub bootstrap: Option<String>,
    /// The kernel services that `bootstrap` gets, by name.
    pub services: Vec<String>,
    /// The io channels by name. `bootstrap` gets them like services.
    pub io: BTreeMap<String, IoChannel>,
    /// The vats by name, each a [`StaticVat`], in the order in which they are launched. Their bundles must be
    /// installed.
    pub vats: Vec<(String, StaticVat)>,
}

/// Returns true for 1 to 100 letters, digits, dots, dashes or underscores.
pub fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(allowed)
}

impl SubclusterConfig {
    /// Checks everything that needs no state.
    pub(crate) fn check(&self) -> Result<(), LaunchError> {
        let invalid = |why: String| Err(LaunchError::InvalidConfig(why));
        for (what, count) in [
            ("vats", self.vats.len()),
            ("services", self.services.len()),
            ("io channels", self.io.len()),
        ] {
            if count > MAX_NAMES {
                return invalid(format!("{count} {what} are more than {MAX_NAMES}"));
            }
        }
        if self.vats.is_empty() {
            return invalid("there are no vats".to_owned());
        }
        let mut seen = BTreeSet::new();
        for (name, _) in &self.vats {
            if !is_name(name) {
                return invalid(format!("{name:?} is not a vat's name"));
            }
            if !seen.insert(name) {
                return invalid(format!("vat {name} stands twice"));
            }
        }
        if let Some(name) = self.io.keys().find(|name| !is_name(name)) {
            return invalid(format!("{name:?} is not an io channel's name"));
        }
        match &self.bootstrap {
            Some(name) if !seen.contains(name) => Err(LaunchError::NoBootstrapVat(name.clone())),
            _ => Ok(()),
        }
    }

    /// Reads `{bootstrap, services, io, vats: {NAME: {bundleID, parameters, …}}}` from a value of `of`.
    pub(crate) fn parse(config: &Json, of: &Parsed) -> Result<Self, LaunchError> {
        let Json::Object(fields) = config else { return invalid("it is not a record") };
        let known = ["bootstrap", "services", "io", "vats"];
        if let Some((name, _)) = fields.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            return invalid(format!("unknown field {name}"));
        }
        let bootstrap = match config.field("bootstrap").map(Json::as_unicode) {
            Some(Some(name)) => name,
            other => {
                let shown = if other.is_none() { "undefined" } else { "that is not a string" };
                return Err(LaunchError::NoBootstrapVat(shown.to_owned()));
            }
        };
        let vats = entries(config.field("vats"), "vats")?.into_iter().map(|(name, vat)| {
            let vat = parse_vat(&name, vat, of)?;
            Ok((name, vat))
        });
        let read = Self {
            bootstrap: Some(bootstrap),
            services: services(config)?,
            io: parse_channels(config.field("io"))?,
            vats: vats.collect::<Result<_, LaunchError>>()?,
        };
        read.check().map(|()| read)
    }
}

fn invalid<T>(why: impl Into<String>) -> Result<T, LaunchError> {
    Err(LaunchError::InvalidConfig(why.into()))
}

fn services(config: &Json) -> Result<Vec<String>, LaunchError> {
    let names = match config.field("services") {
        None => return Ok(vec![]),
        Some(Json::Array(names)) => names.iter().map(Json::as_unicode).collect::<Option<Vec<_>>>(),
        Some(_) => None,
    };
    names.map_or_else(|| invalid("services are a list of names"), Ok)
}

/// Returns the entries of a record by their names, none if it is undefined.
fn entries<'a>(
    record: Option<&'a Json>,
    field: &str,
) -> Result<Vec<(String, &'a Json)>, LaunchError> {
    let fields = match record {
        None => return Ok(vec![]),
        Some(Json::Object(fields)) => fields,
        Some(_) => return invalid(format!("{field} is not a record")),
    };
    let named = fields.iter().map(|(key, value)| {
        let name = unescape(key).and_then(|name| name.as_str().map(str::to_owned));
        name.filter(|name| is_name(name)).map(|name| (name, value))
    });
    match named.collect() {
        Some(named) => Ok(named),
        None => invalid(format!(
            "the names of {field} are 1 to {MAX_NAME} letters, digits, dots, dashes or underscores"
        )),
    }
}

fn parse_vat(name: &str, value: &Json, of: &Parsed) -> Result<StaticVat, LaunchError> {
    let Json::Object(fields) = value else { return invalid(format!("vat {name} is not a record")) };
    let Some(bundle) = value.field("bundleID").and_then(Json::as_unicode) else {
        return invalid(format!("vat {name}: bundleID must be a string"));
    };
    let mut vat = StaticVat::new(bundle);
    for (field, _) in fields {
        let Some(value) = value.field(field) else { continue };
        let bad = || LaunchError::InvalidConfig(format!("vat {name}: {field} is unusable"));
        match field.as_str() {
            "bundleID" => {}
            "parameters" => {
                let read: Option<KernelData> = of.reserialize(value);
                let is_record = matches!(value, Json::Object(_));
                vat.parameters = read.filter(|_| is_record).ok_or_else(bad)?;
            }
            "critical" => vat.critical = boolean(value).ok_or_else(bad)?,
            "system" => vat.system = boolean(value).ok_or_else(bad)?,
            "enablePipelining" => vat.enable_pipelining = boolean(value).ok_or_else(bad)?,
            "enableDisavow" => vat.enable_disavow = boolean(value).ok_or_else(bad)?,
            "enableVatstore" => vat.enable_vatstore = boolean(value).ok_or_else(bad)?,
            "enableSetup" => vat.enable_setup = boolean(value).ok_or_else(bad)?,
            "reapInterval" => match value {
                Json::Text(text) if text == "never" => vat.reap.never = true,
                _ => vat.reap.deliveries = interval(value).ok_or_else(bad)?,
            },
            _ => return invalid(format!("vat {name}: unknown option {field}")),
        }
    }
    Ok(vat)
}

/// Reads `{NAME: {direction}}`, or undefined, which is none.
pub(crate) fn parse_channels(
    io: Option<&Json>,
) -> Result<BTreeMap<String, IoChannel>, LaunchError> {
    let named = entries(io, "io")?;
    if named.len() > MAX_NAMES {
        return invalid(format!("{} io channels are more than {MAX_NAMES}", named.len()));
    }
    let read = |(name, channel): (String, &Json)| {
        let channel = parse_channel(&name, channel)?;
        Ok((name, channel))
    };
    named.into_iter().map(read).collect()
}

fn parse_channel(name: &str, value: &Json) -> Result<IoChannel, LaunchError> {
    let Json::Object(fields) = value else {
        return invalid(format!("io channel {name} is not a record"));
    };
    if let Some((field, _)) = fields.iter().find(|(field, _)| field != "direction") {
        return invalid(match IO_ELSEWHERE.contains(&field.as_str()) {
            true => format!(
                "io channel {name}: there is no {field} on a chain: transactions and queries are the other end of a channel"
            ),
            false => format!("io channel {name}: unknown option {field}"),
        });
    }
    let direction = match value.field("direction") {
        None => Some(IoDirection::default()),
        Some(text) => text.as_unicode().and_then(|text| IoDirection::parse(&text)),
    };
    match direction {
        Some(direction) => Ok(IoChannel { direction }),
        None => invalid(format!("io channel {name}: direction must be in, out or inout")),
    }
}

fn boolean(value: &Json) -> Option<bool> {
    match value {
        Json::Scalar(text) => text.parse().ok(),
        _ => None,
    }
}

fn interval(value: &Json) -> Option<Threshold> {
    let number = match value {
        Json::Scalar(text) => canonical_decimal(text),
        _ => value.as_nat()?.try_into().ok(),
    };
    number.filter(|number| *number > 0).map(Threshold::At)
}
