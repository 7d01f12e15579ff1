//! The frames of errors in the log: those of the vat's own modules, and those of libraries.

/// Packages of Endo and Agoric, by the names that frames have for them. Vats are built with them.
const LIBRARIES: &[&str] = &[
    "async-flow",
    "babel-parser",
    "base-zone",
    "base64",
    "bundle-source",
    "cache-map",
    "cjs-module-analyzer",
    "common",
    "compartment-mapper",
    "env-options",
    "errors",
    "ertp",
    "evasive-transform",
    "eventual-send",
    "exo",
    "far",
    "harden",
    "hex",
    "immutable-arraybuffer",
    "import-bundle",
    "init",
    "internal",
    "lockdown",
    "marshal",
    "module-source",
    "nat",
    "notifier",
    "pass-style",
    "path-compare",
    "patterns",
    "promise-kit",
    "ses",
    "store",
    "stream",
    "swingset-liveslots",
    "swingset-xsnap-supervisor",
    "time",
    "trampoline",
    "vat-data",
    "vow",
    "where",
    "xsnap-lockdown",
    "zip",
    "zone",
];

/// The beginning of a frame.
const AT: &str = " at ";

/// Returns a line without the frames of libraries, and with their number.
pub fn own_frames(text: &str) -> String {
    let (mut shown, mut left_out) = (String::new(), 0);
    // What was not copied yet begins at `copied`, and the search goes on at `searched`.
    let (mut copied, mut searched) = (0, 0);
    while let Some((open, end)) = next_place(text, searched) {
        let place = &text[open + 1..end - 1];
        let start = text[searched..open].rfind(AT).map(|at| searched + at);
        if let (Some(start), true) = (start, is_library(place)) {
            shown.push_str(&text[copied..start]);
            copied = end;
            left_out += 1;
        } else if start.is_some() {
            shown.push_str(&text[copied..end]);
            copied = end;
        }
        searched = end;
    }
    shown.push_str(&text[copied..]);
    match left_out {
        0 => shown,
        1 => format!("{shown} (1 frame of libraries: capstan logs --all-frames)"),
        more => format!("{shown} ({more} frames of libraries: capstan logs --all-frames)"),
    }
}

/// Returns the next `(module:line:column)` from a position on: where it opens, and where it ends.
fn next_place(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut from = from;
    loop {
        let open = from + text.get(from..)?.find('(')?;
        let inside = &text[open + 1..];
        match inside.find([')', '(', ' ']) {
            Some(close) if inside[close..].starts_with(')') && is_place(&inside[..close]) => {
                return Some((open, open + close + 2));
            }
            _ => from = open + 1,
        }
    }
}

/// Returns whether a text is a module with a line and a column.
fn is_place(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let mut parts = text.rsplitn(3, ':');
    let (column, line, module) = (parts.next(), parts.next(), parts.next());
    column.is_some_and(is_number)
        && line.is_some_and(is_number)
        && module.is_some_and(|module| module.contains('/'))
}

fn is_library(place: &str) -> bool {
    // The worker's own bundles have names of files that end so.
    let place = place.strip_prefix("/bundled-source/.../").unwrap_or(place);
    let package = place.split('/').next().unwrap_or_default();
    LIBRARIES.contains(&package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_libraries_are_counted() {
        let text = "liveslots: Error#1: In \"buy\" method of (Shop): not at all (a string) at \
            __HIDE_throw (common/throw-labeled.js:31:5) at In \"buy\" method of (Shop) (exo/src/exo-tools.js:172:64) at \
            buy (shop/src/shop.js:9:2); Error#2: again at confirm (patterns/src/patterns/x.js:1:2)";
        assert_eq!(
            own_frames(text),
            "liveslots: Error#1: In \"buy\" method of (Shop): not at all (a string) at buy (shop/src/shop.js:9:2); \
             Error#2: again (3 frames of libraries: capstan logs --all-frames)"
        );
        let text = "x at a (far/b.js:1:2)";
        assert_eq!(own_frames(text), "x (1 frame of libraries: capstan logs --all-frames)");
        let text = "x at makeError (/bundled-source/.../ses/src/error/assert.js:352:7)";
        assert_eq!(own_frames(text), "x (1 frame of libraries: capstan logs --all-frames)");
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        for text in [
            "",
            "(",
            "no frames (at all",
            "a at b (shop/shop.js:1:2)",
            "see (exo/src/x.js:1:2)",
            "at (exo/src/x.js)",
            "é at ü (exo/src/x.js:1:) ()",
        ] {
            assert_eq!(own_frames(text), text);
        }
    }

    #[test]
    fn the_packages_that_vats_are_built_with_are_known() {
        let lock = include_str!("../../../../vat/js/package-lock.json");
        let lock: serde_json::Value = serde_json::from_str(lock).unwrap();
        let mut count = 0;
        for path in lock["packages"].as_object().unwrap().keys() {
            let Some((_, name)) = path.rsplit_once("node_modules/") else { continue };
            let package = name.strip_prefix("@endo/").or(name.strip_prefix("@agoric/"));
            if let Some(package) = package.or((name == "ses").then_some(name)) {
                assert!(LIBRARIES.contains(&package), "{package}");
                count += 1;
            }
        }
        assert!(count > 20, "{count}");
        assert!(LIBRARIES.is_sorted());
    }
}
