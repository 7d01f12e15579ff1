//! Names of io channels and of their queues.

use crate::ids::SubclusterId;

/// The name of an io channel: its subcluster, and its name there. Its text is that of the kernel service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoName {
    /// The subcluster.
    pub subcluster: SubclusterId,
    /// The name that the configuration gives the channel.
    pub channel: String,
}

/// The beginning of the names of io channels as services.
pub(crate) const IO_PREFIX: &str = "io:";

impl IoName {
    /// Reads `io:sN:NAME`.
    pub(crate) fn parse(service: &str) -> Option<Self> {
        let (subcluster, channel) = service.strip_prefix(IO_PREFIX)?.split_once(':')?;
        let subcluster = SubclusterId::parse(subcluster)?;
        Some(Self { subcluster, channel: channel.to_owned() })
    }
}

impl std::fmt::Display for IoName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{IO_PREFIX}{}:{}", self.subcluster, self.channel)
    }
}

/// The two queues of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Input,
    Output,
}
