//! Io channels of subclusters: lines from outside for vats, and lines of vats for whoever is outside.
//!
//! A channel has two bounded queues of lines. Input comes from outside and is read by vats. Output is written by vats,
//! is read from the state, and goes when it is acknowledged. While a vat waits for input there is none.

use borsh::{BorshDeserialize, BorshSerialize};

pub use crate::state::io_name::IoName;
pub(crate) use crate::state::io_name::{Flow, IO_PREFIX};
use crate::{
    error::{KernelPanic, Result, inconsistent},
    ids::KRef,
    limits::{MAX_IO_BYTES, MAX_IO_LINE_BYTES, MAX_IO_LINES, MAX_IO_READS},
    state::{handle::State, keys},
};

/// The declaration of an io channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IoChannel {
    /// Its [`IoDirection`].
    pub direction: IoDirection,
}

/// The ways in which data flows through an io channel, as its vat sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum IoDirection {
    /// The vat reads.
    In,
    /// The vat writes.
    Out,
    /// The vat does both.
    #[default]
    InOut,
}

impl IoDirection {
    /// Reads `in`, `out` or `inout`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "in" => Some(Self::In),
            "out" => Some(Self::Out),
            "inout" => Some(Self::InOut),
            _ => None,
        }
    }

    /// Returns the text that [`parse`](Self::parse) reads.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::InOut => "inout",
        }
    }
}

/// The record of an io channel, part of the state as long as its subcluster.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IoState {
    /// Its [`IoDirection`].
    pub direction: IoDirection,
    /// The lines from outside that no vat has read.
    pub input: LineQueue,
    /// The lines of vats that nobody outside has acknowledged.
    pub output: LineQueue,
    /// The promises of the reads that wait for input, oldest first. The record holds them, and the kernel decides them.
    pub readers: Vec<KRef>,
}

/// A queue of lines, which are numbered from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LineQueue {
    /// The number of the last line that was taken out.
    pub taken: u64,
    /// The number of the last line that was put in.
    pub last: u64,
    /// The bytes of the lines in between.
    pub bytes: u64,
}

impl LineQueue {
    /// Returns the number of lines in the queue.
    pub fn len(&self) -> u64 {
        self.last - self.taken
    }

    /// Returns true if there is no line in the queue.
    pub fn is_empty(&self) -> bool {
        self.last == self.taken
    }
}

/// An entry of a queue.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum IoLine {
    Text(String),
    /// The end of what one writer had to say. Vats read `null`.
    End,
}

impl IoLine {
    fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::End => 0,
        }
    }
}

/// The reason why a channel does not do what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IoError {
    /// There is no such channel, or its subcluster has ended.
    #[error("there is no io channel {:?} of subcluster {}", .0.channel, .0.subcluster)]
    Unknown(IoName),
    /// A vat reads from a channel of direction `out`.
    #[error("IO channel \"{0}\" is write-only")]
    WriteOnly(IoName),
    /// A vat writes to a channel of direction `in`.
    #[error("IO channel \"{0}\" is read-only")]
    ReadOnly(IoName),
    /// Somebody outside writes to a channel of direction `out`.
    #[error("vats only write to IO channel \"{0}\": it takes no lines from outside")]
    NoInput(IoName),
    /// Somebody outside acknowledges output of a channel of direction `in`.
    #[error("vats only read IO channel \"{0}\": it has no lines for outside")]
    NoOutput(IoName),
    /// The lines do not fit besides those that nobody has read yet.
    #[error(
        "IO channel \"{0}\" is full: at most {MAX_IO_LINES} lines of {MAX_IO_BYTES} bytes in all wait to be read"
    )]
    Full(IoName),
    /// A line is too long.
    #[error("a line of an io channel has at most {MAX_IO_LINE_BYTES} bytes, not {0}")]
    LongLine(usize),
    /// The vat that reads was upgraded since, or has ended.
    #[error("IO channel \"{0}\" is read by a vat that was upgraded since, or has ended")]
    Unheard(IoName),
    /// Too many reads wait.
    #[error("IO channel \"{0}\" has {MAX_IO_READS} reads that wait already")]
    TooManyReads(IoName),
    /// A line is acknowledged that was never written.
    #[error("line {through} of IO channel \"{name}\" is not written yet: the last one is {last}")]
    NotWritten {
        /// The channel.
        name: IoName,
        /// The number that was named.
        through: u64,
        /// The number of the last line.
        last: u64,
    },
    /// The kernel stops with this [`KernelPanic`].
    #[error(transparent)]
    Panic(#[from] KernelPanic),
}

impl State<'_> {
    pub(crate) fn io_channel(&self, name: &IoName) -> Result<Option<IoState>> {
        self.get(&keys::io_channel(name))
    }

    pub(crate) fn put_io_channel(&mut self, name: &IoName, record: &IoState) -> Result<()> {
        self.put(&keys::io_channel(name), record)
    }

    /// Puts a line into a queue if it fits.
    pub(crate) fn push_io_line(
        &mut self,
        name: &IoName,
        flow: Flow,
        queue: &mut LineQueue,
        line: &IoLine,
    ) -> std::result::Result<(), IoError> {
        if queue.len() >= MAX_IO_LINES || queue.bytes + line.len() > MAX_IO_BYTES {
            return Err(IoError::Full(name.clone()));
        }
        queue.last += 1;
        queue.bytes += line.len();
        Ok(self.put(&keys::io_line(name, flow, queue.last), line)?)
    }

    /// Takes the first line out of a queue.
    pub(crate) fn pop_io_line(
        &mut self,
        name: &IoName,
        flow: Flow,
        queue: &mut LineQueue,
    ) -> Result<Option<IoLine>> {
        if queue.is_empty() {
            return Ok(None);
        }
        let key = keys::io_line(name, flow, queue.taken + 1);
        let line: IoLine = self.need(&key)?;
        self.over.delete(&key);
        queue.taken += 1;
        queue.bytes = queue
            .bytes
            .checked_sub(line.len())
            .ok_or_else(|| inconsistent(format!("{name}: fewer bytes than none")))?;
        Ok(Some(line))
    }

    /// Removes a channel's record and lines.
    pub(crate) fn delete_io_channel(&mut self, name: &IoName, record: &IoState) {
        for (flow, queue) in [(Flow::Input, &record.input), (Flow::Output, &record.output)] {
            for number in queue.taken + 1..=queue.last {
                self.over.delete(&keys::io_line(name, flow, number));
            }
        }
        self.over.delete(&keys::io_channel(name));
    }
}
