use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// Bounds the size and the number of the files of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Size in bytes at which a file is rotated. 0 turns rotation off.
    pub max_bytes: u64,
    /// Number of rotated files that are kept. `FILE.1` is the newest.
    pub keep: u32,
}

/// A log file that is rotated before a write if it has reached its size.
///
/// Rotation happens between writes, so a record that is written by one call is never cut. Writes are buffered until
/// [`RotatingFile::flush`].
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    out: BufWriter<File>,
    bytes: u64,
    rotation: Rotation,
}

impl RotatingFile {
    /// Opens the file at `path` to append to it, and creates it if there is none.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn append(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let (out, bytes) = open(path)?;
        Ok(Self { path: path.to_owned(), out, bytes, rotation })
    }

    /// Writes a line.
    ///
    /// # Errors
    /// As [`RotatingFile::write`].
    pub fn write_line(&mut self, line: &str) -> io::Result<()> {
        self.rotate_if_full()?;
        self.bytes += line.len() as u64 + 1;
        writeln!(self.out, "{line}")
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// The file cannot be written or rotated.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.rotate_if_full()?;
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Hands buffered bytes to the operating system.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn rotate_if_full(&mut self) -> io::Result<()> {
        if self.rotation.max_bytes == 0 || self.bytes < self.rotation.max_bytes {
            return Ok(());
        }
        self.out.flush()?;
        let rotated = |number: u32| PathBuf::from(format!("{}.{number}", self.path.display()));
        for number in (1..self.rotation.keep).rev() {
            match fs::rename(rotated(number), rotated(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match self.rotation.keep {
            0 => fs::remove_file(&self.path)?,
            _ => fs::rename(&self.path, rotated(1))?,
        }
        (self.out, self.bytes) = open(&self.path)?;
        Ok(())
    }
}

/// Opens a file to append to it. Returns its length too.
fn open(path: &Path) -> io::Result<(BufWriter<File>, u64)> {
    let file = File::options().create(true).append(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((BufWriter::new(file), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_files_are_kept_and_no_line_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slog.jsonl");
        let rotation = Rotation { max_bytes: 20, keep: 2 };
        for part in [0..9, 9..17] {
            // A restart goes on with the file.
            let mut file = RotatingFile::append(&path, rotation).unwrap();
            for number in part {
                file.write_line(&format!("line {number:02}")).unwrap();
            }
            file.flush().unwrap();
        }
        let lines = |name: &str| {
            let text = fs::read_to_string(dir.path().join(name)).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines("slog.jsonl"), ["line 15", "line 16"]);
        assert_eq!(lines("slog.jsonl.1"), ["line 12", "line 13", "line 14"]);
        assert_eq!(lines("slog.jsonl.2"), ["line 09", "line 10", "line 11"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn without_a_bound_there_is_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slog.jsonl");
        let mut file = RotatingFile::append(&path, Rotation::default()).unwrap();
        (0..100).for_each(|_| file.write_line("a line").unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
