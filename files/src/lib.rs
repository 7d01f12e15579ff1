//! Files of a node that must survive a crash: atomic replacement, and logs that rotate. And the text of strangers in logs
//! and terminals.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! let path = dir.path().join("config.json");
//! capstan_files::write_atomic(&path, b"{}", 0o600)?;
//! assert_eq!(std::fs::read(&path)?, b"{}");
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod atomic;
mod printable;
mod private;
mod rotate;

pub use atomic::{is_partial, write_atomic};
pub use printable::{one_line, printable, printable_json};
pub use private::exposed;
pub use rotate::{RotatingFile, Rotation};
