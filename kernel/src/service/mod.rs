//! Kernel services: objects that the kernel, or the application that runs it, answers for.
//!
//! A service has a name and an object with the owner `kernel`. Vats get the object at their bootstrap by the name.
//! From then on it is an object like any other: they send to it with `E()` and pass it on. A service that is for
//! the system alone is only handed to vats of the system, which may pass it on, too.
//!
//! A message to a service is a crank of its own. Its arguments are bounded, and its sender pays, as for vats of the
//! system. The kernel decides the message's result: it is the value that the service returns, or rejected with
//! `[KERNEL:DELIVERY_FAILED]` and the reason. A service that fails has changed nothing. What it does is state alone.
//!
//! | file | content |
//! |---|---|
//! | `registry.rs` | names, records, who may have what |
//! | `facet.rs` | the kernel's own service |
//! | `subclusters.rs` | its methods for subclusters |
//! | `conveyor.rs` | services over the mailbox and the bridge |
//! | `io.rs` | io channels of subclusters |

mod conveyor;
mod facet;
mod io;
mod registry;
mod subclusters;

use capstan_abi::{CapData, Message, Resolution};
use capstan_passable::Passable;

pub use registry::{
    MAX_SERVICE_NAME, NewService, Service, ServiceError, ServiceKind, is_service_name,
};

use crate::{
    application::{ServiceAnswer, ServiceCall},
    capdata::{self, KernelData},
    error::{KernelPanic, Result},
    ids::KRef,
    limits::{self, MAX_BODY_BYTES},
    state::{handle::State, queue::Payer, slog::Event},
};

/// The method by which a vat asks an object for the names of its methods.
const METHOD_NAMES: &str = "__getMethodNames__";

/// One call of a service, decoded.
pub(crate) struct Call<'a> {
    /// The service's name.
    pub(crate) service: &'a str,
    /// The method's name.
    pub(crate) method: &'a str,
    /// The arguments.
    pub(crate) args: &'a [Passable<KRef>],
    /// The message as it came: `[method, args]`.
    pub(crate) methargs: &'a KernelData,
    /// The promise for the result, which the kernel decides. `None` if nobody waits for it.
    pub(crate) result: Option<KRef>,
    /// The payer for what the call causes.
    pub(crate) payer: Payer,
}

/// The answer of a service.
pub(crate) enum Answer {
    /// A value, which may be undefined.
    Value(Passable<KRef>),
    /// The result promise went on with a message, whose receiver decides it.
    Forwarded,
    /// A record of the state keeps the result promise, and the kernel settles it later.
    Later,
}

/// The reason why a service gives no answer.
pub(crate) enum Failure {
    /// The caller is told this text. All that the call did is undone.
    Thrown(String),
    /// The kernel stops with this [`KernelPanic`].
    Panic(KernelPanic),
}

/// The result of a call within a service.
pub(crate) type Answered<T = Answer> = std::result::Result<T, Failure>;

impl<E: Into<KernelPanic>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Panic(error.into())
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Panic(panic) => Self::Panic(panic),
            refusal => Self::Thrown(refusal.to_string()),
        }
    }
}

/// Refuses a call.
pub(crate) fn thrown<T>(why: impl Into<String>) -> Answered<T> {
    Err(Failure::Thrown(why.into()))
}

impl<'a> Call<'a> {
    /// Returns an argument, or `undefined` if there are fewer.
    pub(crate) fn arg(&self, index: usize) -> &'a Passable<KRef> {
        self.args.get(index).unwrap_or(&Passable::Undefined)
    }

    /// Returns an argument that must be a string.
    pub(crate) fn text(&self, index: usize, what: &str) -> Answered<&'a str> {
        match self.arg(index).as_str() {
            Some(text) => Ok(text),
            None => thrown(format!("{}: {what} must be a string", self.method)),
        }
    }

    /// Returns an argument that must be an object, to which messages can be sent.
    pub(crate) fn object(&self, index: usize, what: &str) -> Answered<KRef> {
        match self.arg(index).as_reference() {
            Some(kref @ KRef::Object(_)) => Ok(*kref),
            _ => thrown(format!("{}: {what} must be an object", self.method)),
        }
    }
}

/// The message to a service, and what its crank knows of it.
pub(crate) struct Request<'a> {
    /// The service's name.
    pub(crate) name: &'a str,
    /// The service.
    pub(crate) service: Service,
    /// The message.
    pub(crate) message: &'a Message<KRef>,
    /// The payer for what the message causes.
    pub(crate) payer: Payer,
}

impl State<'_> {
    /// Calls a service, and settles the message's result if it answers. Returns the reason if it fails. The caller
    /// then undoes what it did, and rejects the result.
    pub(crate) fn invoke_service(&mut self, request: &Request<'_>) -> Result<Option<String>> {
        let answered = self.decode_and_call(request).and_then(|answer| match answer {
            Answer::Value(value) => self.fulfil(request.message.result, &value),
            Answer::Forwarded | Answer::Later => Ok(()),
        });
        let why = match answered {
            Ok(()) => None,
            Err(Failure::Thrown(why)) => Some(limits::cut(why.into()).to_string()),
            Err(Failure::Panic(panic)) => return Err(panic),
        };
        let method = capdata::method_name(&request.message.methargs);
        let (method, why_not) = (method.legible(), why.as_deref());
        self.log(Event::ServiceInvoked { service: request.name, method: &method, why_not });
        Ok(why)
    }

    fn decode_and_call(&mut self, request: &Request<'_>) -> Answered {
        let methargs = &request.message.methargs;
        let decoded = match Passable::decode(methargs) {
            Ok(decoded) => decoded,
            Err(malformed) => return thrown(format!("arguments are not smallcaps: {malformed}")),
        };
        let (method, args) = match decoded.as_array() {
            Some([method, Passable::Array(args)]) => (method, args),
            _ => return thrown("a message is a method's name and an array of arguments"),
        };
        let Some(method) = method.as_str() else {
            return thrown("a kernel service is called by a method's name");
        };
        let result = request.message.result;
        let (service, payer) = (request.name, request.payer);
        let call = Call { service, method, args, methargs, result, payer };
        self.call_service(request.service.kind, &call)
    }

    fn call_service(&mut self, kind: ServiceKind, call: &Call<'_>) -> Answered {
        let methods = self.methods_of(kind, call.service);
        if call.method == METHOD_NAMES {
            let names: Vec<Passable<KRef>> = methods.iter().map(|name| (*name).into()).collect();
            return Ok(Answer::Value(Passable::Array(names)));
        }
        if !methods.contains(&call.method) {
            let (service, method) = (call.service, limits::cut(call.method.into()));
            return thrown(format!(
                "kernel service {service:?} has no method {:?}, has {methods:?}",
                method.to_string()
            ));
        }
        match kind {
            ServiceKind::Facet => self.serve_facet(call),
            ServiceKind::Application => self.serve_application(call),
            ServiceKind::Mailbox
            | ServiceKind::MailboxConveyor
            | ServiceKind::Bridge
            | ServiceKind::BridgeConveyor => self.serve_conveyor(kind, call),
            ServiceKind::Io => self.serve_io(call),
            ServiceKind::Object => thrown("a vat answers for this object"),
        }
    }

    fn methods_of(&self, kind: ServiceKind, service: &str) -> &'static [&'static str] {
        match kind {
            ServiceKind::Facet => facet::METHODS,
            ServiceKind::Application => match &self.application {
                Some(application) => application.service_methods(service),
                None => &[],
            },
            ServiceKind::Mailbox => conveyor::MAILBOX_METHODS,
            ServiceKind::MailboxConveyor => conveyor::MAILBOX_CONVEYOR_METHODS,
            ServiceKind::Bridge => conveyor::BRIDGE_METHODS,
            ServiceKind::BridgeConveyor => conveyor::BRIDGE_CONVEYOR_METHODS,
            ServiceKind::Io => io::METHODS,
            ServiceKind::Object => &[],
        }
    }

    fn serve_application(&mut self, call: &Call<'_>) -> Answered {
        let Some(application) = self.application.as_deref_mut() else {
            return thrown("no application answers for this service");
        };
        let Call { service, method, args, .. } = *call;
        match application.serve(self.over, &ServiceCall { service, method, args })? {
            ServiceAnswer::Returned(value) => Ok(Answer::Value(value)),
            ServiceAnswer::Thrown(why) => thrown(why),
        }
    }

    /// Sends a message whose answer is the call's.
    pub(crate) fn forward(
        &mut self,
        call: &Call<'_>,
        target: KRef,
        methargs: KernelData,
    ) -> Answered {
        if let Some(result) = call.result {
            self.set_decider(result, None)?;
        }
        self.stats.syscalls += 1;
        self.stats.syscall_send += 1;
        self.send(target, Message { methargs, result: call.result }, call.payer)?;
        Ok(Answer::Forwarded)
    }

    fn fulfil(&mut self, result: Option<KRef>, value: &Passable<KRef>) -> Answered<()> {
        let data = encode(value)?;
        if let Some(promise) = result {
            self.resolve(vec![Resolution { promise, rejected: false, data }], None)?;
        }
        Ok(())
    }
}

/// Encodes a value for the caller, which takes no more than any vat does.
fn encode(value: &Passable<KRef>) -> Answered<KernelData> {
    let data: CapData<KRef> = match value.encode() {
        Ok(data) => data,
        Err(malformed) => return thrown(format!("the answer cannot be encoded: {malformed}")),
    };
    match data.body.len() <= MAX_BODY_BYTES && data.slots.len() <= limits::MAX_SLOTS {
        true => Ok(data),
        false => thrown("the answer is too large"),
    }
}
