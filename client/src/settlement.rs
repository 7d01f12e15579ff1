use crate::{Args, proto};

/// Settlement of a promise that an account decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    promise: String,
    rejected: bool,
    value: Args,
}

impl Settlement {
    /// Fulfils a promise with one value, as [`Args::value`] encodes it.
    pub fn fulfil(promise: &str, value: &Args) -> Self {
        Self { promise: promise.to_owned(), rejected: false, value: value.clone() }
    }

    /// Rejects a promise with one value as the reason.
    pub fn reject(promise: &str, reason: &Args) -> Self {
        Self { promise: promise.to_owned(), rejected: true, value: reason.clone() }
    }

    pub(crate) fn to_proto(&self) -> proto::Resolution {
        let (promise, rejected) = (self.promise.clone(), self.rejected);
        proto::Resolution { promise, rejected, data: Some(self.value.capdata()) }
    }
}
