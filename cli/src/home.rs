//! The home directory of a command.

use std::path::PathBuf;

use crate::Common;
use crate::failure::usage;

/// Returns the home that the command line names, or else `$CAPSTAN_HOME`, or else the one in the user's directory.
pub(crate) fn path(common: &Common) -> anyhow::Result<PathBuf> {
    let named = common.home.clone().or_else(|| std::env::var_os("CAPSTAN_HOME").map(PathBuf::from));
    let user = || std::env::home_dir().map(|dir| dir.join(".capstan"));
    let path = named.filter(|path| !path.as_os_str().is_empty()).or_else(user);
    path.ok_or_else(|| {
        usage("there is no home directory; name one with --home DIR or CAPSTAN_HOME")
    })
}
