//! What the provisioner tells the kernel of accounts' subclusters, and what governors do with system subclusters.
//!
//! The methods belong to the root node of the vatAdmin device:
//!
//! | method | answer |
//! |---|---|
//! | `addSubcluster(name, owner, bootstrap, services, io)` | `{id, services}`: a record without vats, and the objects of the services and io channels by name |
//! | `addSubclusterVat(id, name, root)` | undefined: the owner of `root` belongs to the subcluster |
//! | `removeSubclusterVat(id, name)` | undefined |
//! | `completeSubcluster(id)` | undefined: its bootstrap was fulfilled |
//! | `deleteSubcluster(id, reason)` | undefined: its vats have ended |
//! | `systemSubclusters()` | `[{id, name, status, vats}]` |
//! | `systemSubclusterRoot(name)` | `{root}` |
//! | `systemSubclusterVat(name, vat)` | `{vatID}` |
//! | `launchSystemSubcluster(name, config)` | `{id}`, and the result of the message in progress is settled when `bootstrap` is |
//! | `terminateSystemSubcluster(name, reason)` | undefined |
//!
//! A refused request is answered by `{error}`, a text.

use std::collections::BTreeMap;

use capstan_abi::JsString;

use super::{Answer, CallResult, DeviceFailure, Invocation, thrown};
use crate::{
    capdata::{self, Builder, Json},
    error::KernelPanic,
    ids::{Endpoint, SubclusterId},
    limits,
    state::{
        handle::{State, decode},
        io_channel::IoChannel,
        keys,
        subcluster::{LaunchStatus, News, Owner, Subcluster, SubclusterError},
    },
    subcluster::{Label, LaunchError, SubclusterConfig, parse_channels},
};

/// Method that tells of a vat of an account's subcluster.
pub(super) const ADD_VAT: &str = "addSubclusterVat";
/// Method that launches a system subcluster.
pub(super) const LAUNCH: &str = "launchSystemSubcluster";

/// The reason why a request is refused, or the kernel's trouble.
enum Refused {
    Asked(String),
    Panic(KernelPanic),
}

impl From<SubclusterError> for Refused {
    fn from(error: SubclusterError) -> Self {
        match error {
            SubclusterError::Panic(panic) => Self::Panic(panic),
            error => Self::Asked(error.to_string()),
        }
    }
}

impl From<LaunchError> for Refused {
    fn from(error: LaunchError) -> Self {
        match error {
            LaunchError::Panic(panic) => Self::Panic(panic),
            error => Self::Asked(error.to_string()),
        }
    }
}

impl From<KernelPanic> for Refused {
    fn from(panic: KernelPanic) -> Self {
        Self::Panic(panic)
    }
}

/// Turns a refusal into an answer.
fn answer(outcome: Result<Answer, Refused>) -> CallResult {
    match outcome {
        Ok(answer) => Ok(answer),
        Err(Refused::Panic(panic)) => Err(DeviceFailure::Panic(panic)),
        Err(Refused::Asked(why)) => {
            let why = limits::cut(JsString::from(why.as_str()));
            Ok(Answer::Value(Json::Object(vec![("error".to_owned(), Json::string(why))])))
        }
    }
}

impl State<'_> {
    pub(super) fn call_subclusters(&mut self, call: &Invocation<'_>) -> CallResult {
        match call.method {
            "addSubcluster" => {
                let (name, owner) = (call.text(0, "name")?, call.text(1, "owner")?);
                let bootstrap = match call.arg(2)? {
                    undefined if undefined == Json::undefined() => None,
                    _ => Some(call.text(2, "bootstrap")?),
                };
                let services = texts(&call.arg(3)?);
                let Some(services) = services else { return thrown("services are names") };
                let io = match call.arg(4)? {
                    undefined if undefined == Json::undefined() => None,
                    io => Some(io),
                };
                let io = match parse_channels(io.as_ref()) {
                    Ok(io) => io,
                    Err(refusal) => return answer(Err(refusal.into())),
                };
                answer(self.add_account_subcluster(name, owner, bootstrap, services, io))
            }
            ADD_VAT => {
                let (id, name) = (subcluster_id(call)?, call.text(1, "name")?);
                let root = call.object(2, "root")?;
                let Some(Endpoint::Vat(vat)) = self.live_owner(root)? else {
                    // It may have ended since it was started.
                    return answer(Err(Refused::Asked(format!("vat {name} has ended already"))));
                };
                answer(self.change_subcluster(id, |state, record| {
                    Ok(state.join_subcluster(record, &name, vat)?)
                }))
            }
            "removeSubclusterVat" => {
                let (id, name) = (subcluster_id(call)?, call.text(1, "name")?);
                answer(self.change_subcluster(id, |state, record| {
                    if let Some(vat) = record.vat(&name) {
                        state.over.delete(&keys::subcluster_of(vat));
                    }
                    record.vats.retain(|(other, _)| *other != name);
                    Ok(())
                }))
            }
            "completeSubcluster" => {
                let id = subcluster_id(call)?;
                answer(self.change_subcluster(id, |state, record| {
                    record.status = LaunchStatus::Running;
                    state.notify_of(record, News::Bootstrapped);
                    Ok(())
                }))
            }
            "deleteSubcluster" => {
                let (id, reason) = (subcluster_id(call)?, call.arg(1)?);
                let reason = reason.as_text().unwrap_or_default();
                answer(self.delete_account_subcluster(id, &limits::cut(reason).legible()))
            }
            _ => self.call_system_subclusters(call),
        }
    }

    /// Calls one of the methods for system subclusters.
    fn call_system_subclusters(&mut self, call: &Invocation<'_>) -> CallResult {
        match call.method {
            "systemSubclusters" => answer(self.list_system_subclusters()),
            "systemSubclusterRoot" => {
                let name = call.text(0, "name")?;
                answer(self.system_subcluster_root(&name).map_err(Refused::from).map(|root| {
                    let mut builder = Builder::default();
                    let root = builder.slot(root, "root");
                    Answer::Data(builder.finish(&Json::Object(vec![("root".to_owned(), root)])))
                }))
            }
            "systemSubclusterVat" => {
                let (name, vat) = (call.text(0, "name")?, call.text(1, "vat")?);
                answer(self.system_subcluster_vat(&name, &vat).map_err(Refused::from).map(|vat| {
                    let id = Json::string(vat.to_string().as_str());
                    Answer::Value(Json::Object(vec![("vatID".to_owned(), id)]))
                }))
            }
            "terminateSystemSubcluster" => {
                let (name, reason) = (call.text(0, "name")?, call.text(1, "reason")?);
                let reason = capdata::error(limits::cut(JsString::from(reason.as_str())));
                let ended = self
                    .system_subcluster(&name)
                    .and_then(|record| self.terminate_subcluster(record.id, &reason));
                answer(ended.map(|()| Answer::Undefined).map_err(Refused::from))
            }
            method => thrown(format!("target[{method}] does not exist")),
        }
    }

    /// Launches a system subcluster, and takes over the result of the message that is being delivered.
    pub(super) fn launch_system(&mut self, call: &mut Invocation<'_>) -> CallResult {
        let (name, config) = (call.text(0, "name")?, call.arg(1)?);
        let config = match SubclusterConfig::parse(&config, &call.args) {
            Ok(config) => config,
            Err(refusal) => return answer(Err(refusal.into())),
        };
        let result = call.caller.result.filter(|_| !call.caller.is_deferred);
        match self.launch_subcluster(&config, Label::system(&name), result) {
            Ok(record) => {
                if let Some(result) = result {
                    self.take_over(call, result)?;
                }
                Ok(Answer::Value(Json::Object(vec![("id".to_owned(), text(record.id))])))
            }
            Err(refusal) => answer(Err(refusal.into())),
        }
    }

    /// Makes the device the decider of the result. The vat's own answer is ignored.
    fn take_over(
        &mut self,
        call: &mut Invocation<'_>,
        result: crate::ids::KRef,
    ) -> Result<(), DeviceFailure> {
        let Some(vat) = call.caller.vat else { return Ok(()) };
        self.set_decider(result, Some(Endpoint::Device(call.device)))?;
        self.delete_entry(Endpoint::Vat(vat), result)?;
        call.caller.is_deferred = true;
        Ok(())
    }

    fn add_account_subcluster(
        &mut self,
        name: String,
        owner: String,
        bootstrap: Option<String>,
        services: Vec<String>,
        io: BTreeMap<String, IoChannel>,
    ) -> Result<Answer, Refused> {
        let id = self.allocate_subcluster()?;
        let given = self.cluster_services(id, &services, &io, false)?;
        let record = Subcluster {
            id,
            name: Some(name),
            owner: Owner::Account(owner),
            status: match &bootstrap {
                Some(_) => LaunchStatus::Launching,
                None => LaunchStatus::Running,
            },
            bootstrap,
            vats: vec![],
            services,
            io,
            bootstrap_result: None,
            answer: None,
        };
        self.put_subcluster(&record)?;
        self.notify_of(&record, News::Launched);
        let mut builder = Builder::default();
        let objects = given.into_iter().map(|(name, kref)| {
            let object = builder.slot(kref, "service");
            (Json::key(name), object)
        });
        let services = Json::Object(objects.collect());
        let fields = vec![("id".to_owned(), text(record.id)), ("services".to_owned(), services)];
        Ok(Answer::Data(builder.finish(&Json::Object(fields))))
    }

    /// Changes the record of an account's subcluster.
    fn change_subcluster(
        &mut self,
        id: SubclusterId,
        change: impl FnOnce(&mut Self, &mut Subcluster) -> Result<(), Refused>,
    ) -> Result<Answer, Refused> {
        let mut record = self.subcluster(id)?.ok_or(SubclusterError::Unknown)?;
        if !matches!(record.owner, Owner::Account(_)) {
            return Err(SubclusterError::Unknown.into());
        }
        change(self, &mut record)?;
        self.put_subcluster(&record)?;
        Ok(Answer::Undefined)
    }

    fn delete_account_subcluster(
        &mut self,
        id: SubclusterId,
        reason: &str,
    ) -> Result<Answer, Refused> {
        let record = self.subcluster(id)?.ok_or(SubclusterError::Unknown)?;
        self.forget_subcluster(&record);
        self.close_io(id, &record.io)?;
        let news = match record.status {
            LaunchStatus::Launching => News::Failed(reason.to_owned()),
            LaunchStatus::Running => News::Terminated(reason.to_owned()),
        };
        self.notify_of(&record, news);
        Ok(Answer::Undefined)
    }

    fn list_system_subclusters(&mut self) -> Result<Answer, Refused> {
        let mut listed = Vec::new();
        for (key, value) in self.over.scan(keys::SYSTEM_SUBCLUSTERS).map_err(KernelPanic::from)? {
            let id: SubclusterId = decode(&key, &value)?;
            let Some(record) = self.subcluster(id)? else { continue };
            let status = match record.status {
                LaunchStatus::Launching => "launching",
                LaunchStatus::Running => "running",
            };
            let vats = record.vats.iter().map(|(name, vat)| (Json::key(name.as_str()), text(vat)));
            listed.push(Json::Object(vec![
                ("id".to_owned(), text(id)),
                ("name".to_owned(), text(record.name.unwrap_or_default())),
                ("status".to_owned(), text(status)),
                ("vats".to_owned(), Json::Object(vats.collect())),
            ]));
        }
        Ok(Answer::Value(Json::Array(listed)))
    }
}

fn subcluster_id(call: &Invocation<'_>) -> Result<SubclusterId, DeviceFailure> {
    let text = call.text(0, "id")?;
    SubclusterId::parse(&text).map_or_else(|| thrown(format!("{text} is not a subcluster")), Ok)
}

fn texts(value: &Json) -> Option<Vec<String>> {
    match value {
        Json::Array(items) => items.iter().map(Json::as_unicode).collect(),
        _ => None,
    }
}

fn text(value: impl ToString) -> Json {
    Json::string(value.to_string().as_str())
}
