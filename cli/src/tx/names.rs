//! Names of keys in arguments.

use crate::{Common, keys};

/// Puts the address of a key in place of its name in what `factory.lookup` is asked for: `alice/NAME` is published under
/// alice's address. Everything else stays as it was typed.
pub(super) fn addressed(
    common: &Common,
    target: &str,
    method: &str,
    mut args: Vec<String>,
) -> Vec<String> {
    if (target, method) != ("factory", "lookup") {
        return args;
    }
    if let [name] = args.as_mut_slice()
        && let Some((key, rest)) = name.split_once('/')
        && let Ok(address) = keys::find_address(common, key)
    {
        *name = format!("{address}/{rest}");
    }
    args
}
