//! The vats' side of io channels: `read()` and `write(data)`.
//!
//! `read()` gives the next line from outside, or `null` for the end of what one writer had to say. Without input it
//! waits. `write(data)` gives `undefined` once the line is in the state. A read without a result promise takes nothing,
//! since nobody would have the line.

use capstan_passable::Passable;

use super::{Answer, Answered, Call, Failure, thrown};
use crate::{
    error::inconsistent,
    limits::MAX_IO_READS,
    state::{
        handle::State,
        io_channel::{Flow, IoDirection, IoError, IoLine, IoName, IoState},
    },
    subcluster::check_line,
};

/// The methods of the service.
pub(super) const METHODS: &[&str] = &["read", "write"];

impl From<IoError> for Failure {
    fn from(error: IoError) -> Self {
        match error {
            IoError::Panic(panic) => Self::Panic(panic),
            refusal => Self::Thrown(refusal.to_string()),
        }
    }
}

impl State<'_> {
    pub(super) fn serve_io(&mut self, call: &Call<'_>) -> Answered {
        let lost = || inconsistent(format!("{} is not an io channel", call.service));
        let name = IoName::parse(call.service).ok_or_else(lost)?;
        let record = self.io_channel(&name)?.ok_or_else(lost)?;
        match call.method {
            "read" => self.read_io(call, name, record),
            _ => self.write_io(call, name, record),
        }
    }

    fn read_io(&mut self, call: &Call<'_>, name: IoName, mut record: IoState) -> Answered {
        if record.direction == IoDirection::Out {
            return Err(IoError::WriteOnly(name).into());
        }
        let Some(promise) = call.result else { return Ok(Answer::Value(Passable::Undefined)) };
        if !self.is_heard(promise)? {
            return Err(IoError::Unheard(name).into());
        }
        let answer = match self.pop_io_line(&name, Flow::Input, &mut record.input)? {
            Some(IoLine::Text(line)) => Answer::Value(line.into()),
            Some(IoLine::End) => Answer::Value(Passable::Null),
            None => {
                self.drop_unheard(&name, &mut record)?;
                if record.readers.len() >= MAX_IO_READS {
                    return Err(IoError::TooManyReads(name).into());
                }
                self.increment(promise)?;
                record.readers.push(promise);
                Answer::Later
            }
        };
        self.put_io_channel(&name, &record)?;
        Ok(answer)
    }

    fn write_io(&mut self, call: &Call<'_>, name: IoName, mut record: IoState) -> Answered {
        if record.direction == IoDirection::In {
            return Err(IoError::ReadOnly(name).into());
        }
        let Some(line) = call.arg(0).as_str() else {
            return thrown("write: data must be a string without lone surrogates");
        };
        check_line(line)?;
        let line = IoLine::Text(line.to_owned());
        self.push_io_line(&name, Flow::Output, &mut record.output, &line)?;
        self.put_io_channel(&name, &record)?;
        Ok(Answer::Value(Passable::Undefined))
    }
}
