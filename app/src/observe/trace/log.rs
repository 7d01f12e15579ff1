use std::{
    fs,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::JoinHandle,
};

use super::{BlockTrace, TraceError, TraceOptions, file, heights};
use crate::observe::metrics::Metrics;

/// Number of traces that may wait for the disk. Each is in memory, and a full block's has many megabytes.
const WAITING: usize = 8;

/// Writer of traces on a thread of its own, so that no block waits for them. Dropping it waits until all are written.
#[derive(Debug)]
pub(crate) struct TraceLog {
    traces: Option<SyncSender<BlockTrace>>,
    writer: Option<JoinHandle<()>>,
}

impl TraceLog {
    /// Starts the writer. `metrics` shows the size of the traces.
    pub(crate) fn open(options: TraceOptions, metrics: Metrics) -> Result<Self, TraceError> {
        let fault = |source| TraceError::Io { path: options.dir.clone(), source };
        fs::create_dir_all(&options.dir).map_err(fault)?;
        let (traces, received) = sync_channel(WAITING);
        let writer = std::thread::Builder::new()
            .name("traces".to_owned())
            .spawn({
                let options = options.clone();
                move || write_all(&options, &metrics, &received)
            })
            .map_err(fault)?;
        Ok(Self { traces: Some(traces), writer: Some(writer) })
    }

    pub(crate) fn put(&self, trace: BlockTrace) {
        if let Some(traces) = &self.traces {
            let height = trace.height;
            // Without a receiver, the writer has ended by a panic, which was logged.
            if let Err(TrySendError::Full(_)) = traces.try_send(trace) {
                tracing::warn!(
                    height,
                    "the disk is too slow for the block's trace, which is left out"
                );
            }
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

fn write_all(options: &TraceOptions, metrics: &Metrics, traces: &Receiver<BlockTrace>) {
    let mut failing = false;
    for trace in traces {
        let written = trace.write(&options.dir).and_then(|()| prune(options));
        let written = written.map(|bytes| metrics.traces(bytes));
        // A node that cannot keep traces goes on without them, since they are only for people.
        if let (Err(error), false) = (&written, failing) {
            tracing::warn!(%error, "the traces of blocks cannot be kept");
        }
        failing = written.is_err();
    }
}

/// Removes the oldest traces until the rest is within both bounds. Returns the size of the rest.
fn prune(options: &TraceOptions) -> Result<u64, TraceError> {
    let (mut bytes, mut blocks) = (0, 0);
    for height in heights(&options.dir)?.into_iter().rev() {
        let path = file(&options.dir, height);
        let size = fs::metadata(&path).map_or(0, |about| about.len());
        let fits = blocks < options.keep_blocks && bytes + size <= options.max_bytes;
        // The last block's is kept however large it is.
        if fits || blocks == 0 {
            (bytes, blocks) = (bytes + size, blocks + 1);
        } else {
            remove(&path)?;
        }
    }
    Ok(bytes)
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
        let options =
            TraceOptions { dir: dir.path().join("traces"), keep_blocks: 3, max_bytes: 1 << 20 };
        let log = TraceLog::open(options.clone(), Metrics::new(vec![], vec![])).unwrap();
        for height in [1, 4, 5, 9, 12] {
            log.put(BlockTrace { height, ..BlockTrace::default() });
        }
        drop(log);
        assert_eq!(heights(&options.dir).unwrap(), [5, 9, 12]);
    }

    #[test]
    fn traces_are_bounded_in_bytes_too() {
        let dir = tempfile::tempdir().unwrap();
        let trace = |height| BlockTrace { height, ..BlockTrace::default() };
        trace(1).write(dir.path()).unwrap();
        let size = fs::metadata(file(dir.path(), 1)).unwrap().len();
        let max_bytes = 3 * size + size / 2;
        let options = TraceOptions { dir: dir.path().to_owned(), keep_blocks: 100, max_bytes };
        (2..=9).for_each(|height| trace(height).write(dir.path()).unwrap());
        assert!(prune(&options).unwrap() <= max_bytes);
        assert_eq!(heights(dir.path()).unwrap(), [7, 8, 9]);
        prune(&TraceOptions { max_bytes: 1, ..options }).unwrap();
        assert_eq!(heights(dir.path()).unwrap(), [9]);
    }
}
