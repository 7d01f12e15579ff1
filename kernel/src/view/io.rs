//! Io channels: their records, and what vats wrote to them.

use capstan_kernel_ports::store::Read;

use crate::{
    error::{Result, inconsistent},
    state::{
        handle::get_record,
        io_channel::{Flow, IoLine, IoName, IoState},
        keys,
    },
};

/// Returns the [`IoState`] of a channel, or `None` if there is none or its subcluster has ended.
pub fn io_channel(state: &(impl Read + ?Sized), name: &IoName) -> Result<Option<IoState>> {
    get_record(state, &keys::io_channel(name))
}

/// Returns at most `limit` lines that vats wrote to a channel, with greater numbers than `after`.
pub fn io_output(
    state: &(impl Read + ?Sized),
    name: &IoName,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, String)>> {
    let Some(IoState { output, .. }) = io_channel(state, name)? else { return Ok(vec![]) };
    let mut lines = Vec::new();
    for number in output.taken.max(after).saturating_add(1)..=output.last {
        if lines.len() == limit {
            break;
        }
        let lost = || inconsistent(format!("{name}: line {number} is missing"));
        match get_record(state, &keys::io_line(name, Flow::Output, number))?.ok_or_else(lost)? {
            IoLine::Text(text) => lines.push((number, text)),
            IoLine::End => return Err(inconsistent(format!("{name}: line {number} is none"))),
        }
    }
    Ok(lines)
}
