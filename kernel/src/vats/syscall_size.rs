//! The sizes of syscalls and of their results, as a transcript has them.

use capstan_abi::{CapData, Syscall, SyscallData, SyscallResult, VRef};

use crate::limits::SYSCALL_OVERHEAD_BYTES;

/// The bytes of a syscall in a transcript, nearly.
pub(crate) fn syscall_bytes(syscall: &Syscall) -> usize {
    let texts = match syscall {
        Syscall::Send { target, message } => {
            target.len()
                + capdata_bytes(&message.methargs)
                + message.result.as_ref().map_or(0, VRef::len)
        }
        Syscall::CallNow { target, method, args } => {
            target.len() + method.len() + capdata_bytes(args)
        }
        Syscall::Subscribe { promise } => promise.len(),
        Syscall::Resolve { resolutions } => resolutions
            .iter()
            .map(|r| r.promise.len() + capdata_bytes(&r.data) + SYSCALL_OVERHEAD_BYTES)
            .sum(),
        Syscall::Exit { info, .. } => capdata_bytes(info),
        Syscall::VatstoreGet { key } | Syscall::VatstoreDelete { key } => key.len(),
        Syscall::VatstoreGetNextKey { prior } => prior.len(),
        Syscall::VatstoreSet { key, value } => key.len() + value.len(),
        Syscall::DropImports { refs }
        | Syscall::RetireImports { refs }
        | Syscall::RetireExports { refs }
        | Syscall::AbandonExports { refs } => refs_bytes(refs),
    };
    texts + SYSCALL_OVERHEAD_BYTES
}

pub(crate) fn result_bytes(result: &SyscallResult) -> usize {
    match result {
        SyscallResult::Ok(SyscallData::Null) => 0,
        SyscallResult::Ok(SyscallData::Text(text)) => text.len(),
        SyscallResult::Ok(SyscallData::CapData(data)) => capdata_bytes(data),
        SyscallResult::Error(text) => text.len(),
    }
}

/// The references of a message or call, each of which counts [`REFERENCE_BYTES`].
pub(crate) fn references(syscall: &Syscall) -> usize {
    match syscall {
        Syscall::Send { message, .. } => {
            message.methargs.slots.len() + usize::from(message.result.is_some())
        }
        Syscall::CallNow { args, .. } => args.slots.len(),
        _ => 0,
    }
}

fn capdata_bytes(data: &CapData) -> usize {
    data.body.len() + refs_bytes(&data.slots)
}

/// Each reference counts its length before it.
fn refs_bytes(refs: &[VRef]) -> usize {
    refs.iter().map(|vref| vref.len() + 4).sum()
}
