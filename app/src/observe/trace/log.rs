use std::{
    fs,
    path::Path,
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
};

use super::{BlockTrace, TraceError, TraceOptions, file, heights};

/// Writer of traces on a thread of its own, so that no block waits for them. Dropping it waits until all are written.
#[derive(Debug)]
pub(crate) struct TraceLog {
    traces: Option<Sender<BlockTrace>>,
    writer: Option<JoinHandle<()>>,
}

impl TraceLog {
    pub(crate) fn open(options: TraceOptions) -> Result<Self, TraceError> {
        let fault = |source| TraceError::Io { path: options.dir.clone(), source };
        fs::create_dir_all(&options.dir).map_err(fault)?;
        let (traces, received) = channel();
        let writer = std::thread::Builder::new()
            .name("traces".to_owned())
            .spawn({
                let options = options.clone();
                move || write_all(&options, &received)
            })
            .map_err(fault)?;
        Ok(Self { traces: Some(traces), writer: Some(writer) })
    }

    pub(crate) fn put(&self, trace: BlockTrace) {
        if let Some(traces) = &self.traces {
            // Without a receiver, the writer has ended by a panic, which was logged.
            let _ = traces.send(trace);
        }
    }

    /// Waits until all traces are written. Traces that come later are discarded.
    pub(crate) fn close(&mut self) {
        self.traces = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Drop for TraceLog {
    fn drop(&mut self) {
        self.close();
    }
}

fn write_all(options: &TraceOptions, traces: &Receiver<BlockTrace>) {
    let mut failing = false;
    for trace in traces {
        let written = trace.write(&options.dir).and_then(|()| prune(options));
        // A node that cannot keep traces goes on without them, since they are only for people.
        if let (Err(error), false) = (&written, failing) {
            tracing::warn!(%error, "the traces of blocks cannot be kept");
        }
        failing = written.is_err();
    }
}

fn prune(options: &TraceOptions) -> Result<(), TraceError> {
    let heights = heights(&options.dir)?;
    let keep = usize::try_from(options.keep_blocks).unwrap_or(usize::MAX);
    for height in &heights[..heights.len().saturating_sub(keep)] {
        remove(&file(&options.dir, *height))?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), TraceError> {
    fs::remove_file(path).map_err(|source| TraceError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_traces_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let options = TraceOptions { dir: dir.path().join("traces"), keep_blocks: 3 };
        let log = TraceLog::open(options.clone()).unwrap();
        for height in [1, 4, 5, 9, 12] {
            log.put(BlockTrace { height, ..BlockTrace::default() });
        }
        drop(log);
        assert_eq!(heights(&options.dir).unwrap(), [5, 9, 12]);
    }
}
