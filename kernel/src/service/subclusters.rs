//! The facet's methods for subclusters.

use capstan_passable::{Passable, Shape};

use super::{Answer, Answered, Call, Failure, encode, thrown};
use crate::{
    capdata::{self, Json, Parsed},
    ids::{KRef, SubclusterId},
    limits,
    state::{
        handle::{State, decode},
        keys,
        subcluster::{LaunchStatus, Subcluster, SubclusterError},
    },
    subcluster::{Label, LaunchError, SubclusterConfig},
};

/// Upper bound of the subclusters in one answer.
const MAX_SUBCLUSTERS: usize = 100;

/// Bytes and values of an answer besides its subclusters.
const PAGE: u64 = 64;

/// The reason of an end for which the caller gave none.
const NO_REASON: &str = "ended by a holder of the kernel's facet";

impl State<'_> {
    /// `getSubclusters(after)`: up to 100 records with greater numbers, and the id to go on with. A page has no more
    /// than a vat of the system takes.
    pub(super) fn list_subclusters(&self, call: &Call<'_>) -> Answered {
        let after = match call.arg(0) {
            Passable::Undefined => 0,
            _ => id_of(call)?.0,
        };
        let (mut found, mut last, mut next) = (Vec::new(), after, Passable::Undefined);
        let mut position = keys::subcluster(after).to_vec();
        let guard = &self.globals().options.guard;
        let mut room = (guard.max_bytes.saturating_sub(PAGE), guard.max_nodes.saturating_sub(PAGE));
        while let Some((key, value)) = self.over.next_after(keys::SUBCLUSTERS, &position)? {
            let record: Subcluster = decode(&key, &value)?;
            let (id, described) = (record.id, describe(record));
            let size = encode(&described)?;
            let left = room.0.checked_sub(size.body.len() as u64 + 1);
            let left = left.zip(room.1.checked_sub(Shape::measure(&size.body).nodes));
            if found.len() == MAX_SUBCLUSTERS || (left.is_none() && !found.is_empty()) {
                next = SubclusterId(last).to_string().into();
                break;
            }
            room = left.unwrap_or_default();
            last = id.0;
            found.push(described);
            position = key;
        }
        let subclusters = Passable::Array(found);
        Ok(Answer::Value(Passable::record([("next", next), ("subclusters", subclusters)])))
    }

    pub(super) fn describe_subcluster(&self, call: &Call<'_>) -> Answered {
        let record = self.subcluster(id_of(call)?)?.ok_or(SubclusterError::Unknown)?;
        Ok(Answer::Value(describe(record)))
    }

    /// `getSystemSubclusterRoot(name)`: the root in a record, so that the answer does not become the root itself.
    pub(super) fn system_root(&mut self, call: &Call<'_>) -> Answered {
        let root = self.system_subcluster_root(call.text(0, "a name")?)?;
        Ok(Answer::Value(Passable::record([("root", Passable::Reference(root))])))
    }

    /// `launchSubcluster(config)`: answered when `bootstrap` is settled.
    pub(super) fn launch_for_vat(&mut self, call: &Call<'_>) -> Answered {
        let parsed = Parsed::new(call.methargs);
        let config = parsed.as_ref().and_then(|parsed| {
            let Json::Array(args) = parsed.elements()?.get(1)? else { return None };
            Some(SubclusterConfig::parse(args.first()?, parsed))
        });
        let Some(config) = config else {
            return thrown("launchSubcluster: invalid cluster config: it is not a record");
        };
        self.launch_subcluster(&config?, Label::HOST, call.result)?;
        Ok(Answer::Later)
    }

    pub(super) fn end_for_vat(&mut self, call: &Call<'_>) -> Answered {
        let reason = match call.arg(1) {
            Passable::Undefined => NO_REASON,
            _ => call.text(1, "a reason")?,
        };
        let reason = capdata::error(limits::cut(reason.into()));
        self.terminate_subcluster(id_of(call)?, &reason)?;
        Ok(Answer::Value(Passable::Undefined))
    }
}

impl From<SubclusterError> for Failure {
    fn from(error: SubclusterError) -> Self {
        match error {
            SubclusterError::Panic(panic) => Self::Panic(panic),
            refusal => Self::Thrown(refusal.to_string()),
        }
    }
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        match error {
            LaunchError::Panic(panic) => Self::Panic(panic),
            refusal => Self::Thrown(refusal.to_string()),
        }
    }
}

fn id_of(call: &Call<'_>) -> Answered<SubclusterId> {
    match SubclusterId::parse(call.text(0, "a subcluster's id")?) {
        Some(id) => Ok(id),
        None => thrown(format!("{}: a subcluster's id is an s and a number", call.method)),
    }
}

/// `{id, name, owner, status, bootstrap, vats: [[name, vatID]], services, io: [[name, direction]]}`.
fn describe(record: Subcluster) -> Passable<KRef> {
    let optional = |text: Option<String>| text.map_or(Passable::Undefined, Passable::from);
    let owner = record.owner.to_string();
    let vats = record
        .vats
        .into_iter()
        .map(|(name, vat)| Passable::Array(vec![name.into(), vat.to_string().into()]));
    let services = record.services.into_iter().map(Passable::from);
    let io = record
        .io
        .into_iter()
        .map(|(name, io)| Passable::Array(vec![name.into(), io.direction.as_str().into()]));
    let status = match record.status {
        LaunchStatus::Launching => "launching",
        LaunchStatus::Running => "running",
    };
    Passable::record([
        ("bootstrap", optional(record.bootstrap)),
        ("id", record.id.to_string().into()),
        ("io", Passable::Array(io.collect())),
        ("name", optional(record.name)),
        ("owner", owner.into()),
        ("services", Passable::Array(services.collect())),
        ("status", status.into()),
        ("vats", Passable::Array(vats.collect())),
    ])
}
