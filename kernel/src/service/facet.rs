//! The kernel's own service: what a vat may know of the kernel, and have it do.
//!
//! | method | answer |
//! |---|---|
//! | `ping()` | `'pong'` |
//! | `getStatus()` | `{cranks, acceptanceQueue, runQueue, vats}`: counts as bigints, `vats` of all that ever were |
//! | `getVats(after, limit)` | `{vats, next}`: up to `limit` live vats, 100 at most, with numbers above that of `after` |
//! | `pingVat(vatID)` | `'pong'` if the vat lives; no vat code runs |
//! | `queueMessage(target, method, args)` | the target's own answer: the message goes on the queue, and is not waited for |
//! | `getSubclusters(after)` | `{subclusters, next}`: up to 100 records with numbers above that of `after`, as many as a vat of the system takes |
//! | `getSubcluster(id)` | `{id, name, owner, status, bootstrap, vats: [[name, vatID]], services, io: [[name, direction]]}` |
//! | `getSystemSubclusterRoot(name)` | `{root}` |
//! | `launchSubcluster({bootstrap, services, io, vats})` | `{subclusterId, root, bootstrapResult}` when `bootstrap` has answered |
//! | `terminateSubcluster(id, reason)` | undefined: its vats end in reverse order |
//! | `revoke(object)` | undefined: an object of a user gets no more messages |
//! | `isRevoked(object)` | true if it was revoked |
//! | `getService(name)` | `{service}`: the object of a service that is not for the system alone |
//! | `registerKernelServiceObject(name, object, {systemOnly})` | `{name, systemOnly}`: makes an object of a vat a service |
//! | `unregisterKernelServiceObject(name)` | true if there was such a service. Those that the kernel answers for stay |

use std::sync::Arc;

use capstan_kernel_ports::VatId;
use capstan_passable::Passable;

use super::{Answer, Answered, Call, Failure, ServiceError, ServiceKind, thrown};
use crate::{
    capdata::{self, Builder, Json, Parsed},
    ids::KRef,
    state::{
        handle::State,
        revocation::{Revocable, RevocationError},
    },
};

/// The methods of the service.
pub(super) const METHODS: &[&str] = &[
    "ping",
    "getStatus",
    "getVats",
    "pingVat",
    "queueMessage",
    "getSubclusters",
    "getSubcluster",
    "getSystemSubclusterRoot",
    "launchSubcluster",
    "terminateSubcluster",
    "revoke",
    "isRevoked",
    "getService",
    "registerKernelServiceObject",
    "unregisterKernelServiceObject",
];

/// Upper bound of the vats that one call looks at.
const MAX_VATS: u64 = 100;

impl State<'_> {
    pub(super) fn serve_facet(&mut self, call: &Call<'_>) -> Answered {
        match call.method {
            "ping" => Ok(Answer::Value("pong".into())),
            "getStatus" => self.status_for_vats(),
            "getVats" => self.vats_for_vats(call),
            "pingVat" => match self.is_alive(vat_id(call, 0)?)? {
                true => Ok(Answer::Value("pong".into())),
                false => thrown("Vat does not exist."),
            },
            "queueMessage" => self.queue_message(call),
            "getSubclusters" => self.list_subclusters(call),
            "getSubcluster" => self.describe_subcluster(call),
            "getSystemSubclusterRoot" => self.system_root(call),
            "launchSubcluster" => self.launch_for_vat(call),
            "terminateSubcluster" => self.end_for_vat(call),
            "revoke" => {
                self.revoke(call.object(0, "an object")?, Revocable::Users).map_err(refusal)?;
                Ok(Answer::Value(Passable::Undefined))
            }
            "isRevoked" => {
                let kref = call.object(0, "an object")?;
                let revoked = self.is_revoked(kref, Revocable::Users).map_err(refusal)?;
                Ok(Answer::Value(revoked.into()))
            }
            "getService" => self.public_service(call),
            "registerKernelServiceObject" => self.register_for_vat(call),
            _ => self.unregister_for_vat(call),
        }
    }

    fn status_for_vats(&self) -> Answered {
        let queues = self.queues()?;
        let length = |(head, tail): (u64, u64)| Passable::bigint(tail - head);
        let globals = self.globals();
        Ok(Answer::Value(Passable::record([
            ("acceptanceQueue", length(queues.acceptance)),
            ("cranks", Passable::bigint(globals.crank)),
            ("runQueue", length(queues.run)),
            ("vats", Passable::bigint(globals.next_vat - 1)),
        ])))
    }

    fn vats_for_vats(&self, call: &Call<'_>) -> Answered {
        let after = match call.arg(0) {
            Passable::Undefined => 0,
            _ => vat_id(call, 0)?.0,
        };
        let limit = match call.arg(1) {
            Passable::Undefined => MAX_VATS,
            Passable::Number(number) => number.as_u64().unwrap_or(0),
            _ => 0,
        };
        if !(1..=MAX_VATS).contains(&limit) {
            return thrown(format!("getVats: a limit is a number from 1 to {MAX_VATS}"));
        }
        let end = self.globals().next_vat;
        let stop = after.saturating_add(1).saturating_add(limit).min(end);
        let mut vats: Vec<Passable<KRef>> = Vec::new();
        for vat in (after.saturating_add(1)..stop).map(VatId) {
            // A vat's id is given away before the vat is made.
            if self.find_vat(vat)?.is_none() || !self.is_alive(vat)? {
                continue;
            }
            let config = Arc::unwrap_or_clone(self.vat_config(vat)?);
            let name = config.name.map_or(Passable::Undefined, Passable::from);
            vats.push(Passable::record([
                ("bundleID", config.bundle_id.into()),
                ("id", vat.to_string().into()),
                ("name", name),
            ]));
        }
        let next = match stop < end {
            true => VatId(stop - 1).to_string().into(),
            false => Passable::Undefined,
        };
        Ok(Answer::Value(Passable::record([("next", next), ("vats", Passable::Array(vats))])))
    }

    /// Puts a message on the queue. Its answer is the call's own.
    fn queue_message(&mut self, call: &Call<'_>) -> Answered {
        let Some(target @ (KRef::Object(_) | KRef::Promise(_))) =
            call.arg(0).as_reference().copied()
        else {
            return thrown("queueMessage: a target must be an object or a promise");
        };
        if call.result == Some(target) {
            return thrown("queueMessage: a message cannot be sent to its own answer");
        }
        let method = call.text(1, "a method")?;
        let parsed = Parsed::new(call.methargs);
        let args = parsed.as_ref().and_then(|parsed| {
            let Json::Array(args) = parsed.elements()?.get(1)? else { return None };
            let Json::Array(args) = args.get(2)? else { return None };
            let mut builder = Builder::default();
            let args = args.iter().map(|arg| builder.splice(arg, parsed)).collect::<Option<_>>()?;
            Some(capdata::methargs(builder, method, args))
        });
        match args {
            Some(methargs) => self.forward(call, target, methargs),
            None => thrown("queueMessage: arguments must be an array"),
        }
    }

    fn public_service(&self, call: &Call<'_>) -> Answered {
        let name = call.text(0, "a name")?.to_owned();
        let found = self.services_named(&[name], false)?;
        match found.into_values().next() {
            Some(kref) => {
                Ok(Answer::Value(Passable::record([("service", Passable::Reference(kref))])))
            }
            None => thrown("getService: a name is needed"),
        }
    }

    /// Services that the kernel answers for stay: nobody could register them again.
    fn unregister_for_vat(&mut self, call: &Call<'_>) -> Answered {
        let name = call.text(0, "a name")?;
        if self.service(name)?.is_some_and(|service| service.kind != ServiceKind::Object) {
            return thrown(format!("{}: the kernel itself answers for {name:?}", call.method));
        }
        let removed = self.unregister_service(name)?;
        Ok(Answer::Value(removed.into()))
    }

    fn register_for_vat(&mut self, call: &Call<'_>) -> Answered {
        let (name, object) = (call.text(0, "a name")?, call.object(1, "a service")?);
        let system_only = match call.arg(2) {
            Passable::Undefined => false,
            options @ Passable::Record(fields) => {
                if let Some((unknown, _)) = fields.iter().find(|(field, _)| field != "systemOnly") {
                    return thrown(format!("{}: unknown option {unknown:?}", call.method));
                }
                match options.field("systemOnly") {
                    None | Some(Passable::Undefined | Passable::Bool(false)) => false,
                    Some(Passable::Bool(true)) => true,
                    Some(_) => {
                        return thrown(format!(
                            "{}: systemOnly must be true or false",
                            call.method
                        ));
                    }
                }
            }
            _ => return thrown(format!("{}: options must be a record", call.method)),
        };
        match self.register_service_object(name, object, system_only) {
            Ok(()) => Ok(Answer::Value(Passable::record([
                ("name", name.into()),
                ("systemOnly", system_only.into()),
            ]))),
            Err(ServiceError::Panic(panic)) => Err(panic.into()),
            Err(refusal) => thrown(refusal.to_string()),
        }
    }
}

fn refusal(error: RevocationError) -> Failure {
    match error {
        RevocationError::Panic(panic) => Failure::Panic(panic),
        refusal => Failure::Thrown(refusal.to_string()),
    }
}

/// Returns an argument that must be the id of a vat.
fn vat_id(call: &Call<'_>, index: usize) -> Answered<VatId> {
    match call.text(index, "a vat's id")?.parse() {
        Ok(vat) => Ok(vat),
        Err(_) => thrown(format!("{}: a vat's id is a v and a number", call.method)),
    }
}
