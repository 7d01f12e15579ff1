//! Tests of the bundler's cache: what it holds changes no bundle, whatever state it is in.

#![allow(clippy::unwrap_used)] // tests

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

/// The most bytes of one of the cache's folders.
const FOLDER_BYTES: u64 = 8 << 20;

fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Sources of several kinds: vats of the system, examples, vats of other tests, CommonJS, JSON, and TypeScript.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let files = [
        (
            "vat.ts",
            "import { x } from './x.ts';\nimport { y } from './y.js';\n\
             export const buildRootObject = (): number => x + y;\n",
        ),
        ("x.ts", "import data from './data.json';\nexport const x: number = data.one;\n"),
        ("data.json", "{\"one\": 1}"),
        (
            "y.js",
            "import { z } from './z.cjs';\n// import('nothing') <!-- -->\nexport const y = z;\n",
        ),
        ("z.cjs", "exports.z = 3;\n"),
        ("package.json", r#"{"name":"p","version":"1.0.0","type":"module"}"#),
    ];
    for (name, text) in files {
        fs::write(dir.join(name), text).unwrap();
    }
    let checkout = package().join("../..");
    let mut all = vec![dir.join("vat.ts")];
    for file in [
        "vat/system/src/vat-admin.js",
        "vat/system/src/shell.js",
        "examples/bank/vat-bank.js",
        "examples/counter/vat-counter.js",
        "tests/vats/vow-boss.js",
        "tests/vats/iterator-producer.js",
        "tests/vats/raw.js",
    ] {
        all.push(checkout.join(file).canonicalize().unwrap());
    }
    all
}

/// Ids and hashes of the bundles as `who` makes them, with this cache.
fn bundles(who: &str, cache: &Path, sources: &[PathBuf]) -> String {
    let mut node = Command::new("node");
    node.env("CAPSTAN_CACHE", cache).arg(package().join("tests/bundles.mjs")).arg(who);
    let output = node.args(sources).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Files below the cache's folders, in order.
fn entries(cache: &Path) -> Vec<PathBuf> {
    let list = |dir: &Path| -> Vec<PathBuf> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let mut all: Vec<PathBuf> =
        list(&cache.join("bundler")).iter().flat_map(|dir| list(dir)).collect();
    all.sort();
    all
}

/// Damages entries in every way in turn: cut, empty, a bit changed in the notes or the module, another entry's contents.
fn damage(entries: &[PathBuf]) {
    for (index, file) in entries.iter().enumerate() {
        let mut bytes = fs::read(file).unwrap();
        let last = bytes.len() - 1;
        match index % 5 {
            0 => bytes.truncate(last),
            1 => bytes.clear(),
            2 => bytes[66] ^= 1,
            3 => bytes[last / 2] ^= 1,
            _ => bytes = fs::read(&entries[index - 3]).unwrap(),
        }
        fs::write(file, bytes).unwrap();
    }
}

#[test]
fn bundles_are_endos_whether_the_cache_is_cold_warm_damaged_or_impossible() {
    let dir = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let sources = sources(dir.path());
    let expected = bundles("endo", cache.path(), &sources);
    assert_eq!(expected.lines().count(), sources.len());
    assert!(!cache.path().join("bundler").exists(), "Endo's bundler has no such cache");
    assert_eq!(bundles("capstan", cache.path(), &sources), expected, "cold");
    let kept = entries(cache.path());
    assert!(kept.len() > 90, "{}", kept.len());
    let contents: Vec<Vec<u8>> = kept.iter().map(|file| fs::read(file).unwrap()).collect();
    assert_eq!(bundles("capstan", cache.path(), &sources), expected, "warm");
    assert_eq!(entries(cache.path()), kept);
    damage(&kept);
    assert_eq!(bundles("capstan", cache.path(), &sources), expected, "damaged");
    for (file, content) in kept.iter().zip(contents) {
        assert!(fs::read(file).unwrap() == content, "{} is not replaced", file.display());
    }
    let impossible = dir.path().join("data.json");
    assert_eq!(bundles("capstan", &impossible, &sources[..1]), first(&expected), "no directory");
}

fn first(lines: &str) -> String {
    format!("{}\n", lines.lines().next().unwrap())
}

/// A vat of two modules in a folder of its own.
fn vat() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text = "import { Far } from '@endo/far';\nimport { greet } from './greet.js';\n\
                export const buildRootObject = () => Far('root', { greet });\n";
    fs::write(dir.path().join("vat.js"), text).unwrap();
    fs::write(dir.path().join("greet.js"), "export const greet = () => 'hello';\n").unwrap();
    dir
}

fn tool(dir: &Path, cache: &Path, out: &str) -> Command {
    let mut node = Command::new("node");
    node.env("CAPSTAN_CACHE", cache).arg(package().join("tools/bundle.mjs"));
    node.arg(dir.join("vat.js")).arg(dir.join(out));
    node
}

fn id(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_small_edit_transforms_the_edited_module_alone() {
    let (vat, cache) = (vat(), tempfile::tempdir().unwrap());
    let before = id(&tool(vat.path(), cache.path(), "out.json").output().unwrap());
    let kept = entries(cache.path());
    fs::write(vat.path().join("greet.js"), "export const greet = () => 'good day';\n").unwrap();
    let after = id(&tool(vat.path(), cache.path(), "out.json").output().unwrap());
    assert_ne!(after, before);
    assert_eq!(entries(cache.path()).len(), kept.len() + 1);
}

#[test]
fn bundlers_side_by_side_share_a_cold_cache() {
    let (vat, cache) = (vat(), tempfile::tempdir().unwrap());
    let start = |index| {
        let mut node = tool(vat.path(), cache.path(), &format!("out{index}.json"));
        node.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<_> = (0..3).map(start).collect();
    let ids: Vec<String> =
        running.into_iter().map(|child| id(&child.wait_with_output().unwrap())).collect();
    assert!(ids.iter().all(|other| *other == ids[0]), "{ids:?}");
    assert!(entries(cache.path()).iter().all(|file| file.extension().is_none()), "nothing half");
}

#[test]
fn a_cache_that_is_too_large_loses_what_was_not_used_for_longest() {
    let (vat, cache) = (vat(), tempfile::tempdir().unwrap());
    let expected = id(&tool(vat.path(), cache.path(), "out.json").output().unwrap());
    let kept = entries(cache.path());
    let hour = Duration::from_secs(3600);
    let old = SystemTime::now() - 48 * hour;
    let aged =
        |file: &Path, time| File::options().write(true).open(file).unwrap().set_modified(time);
    let folder = kept[0].parent().unwrap();
    for index in 0..4_u32 {
        let file = File::create(folder.join(format!("{index:064}"))).unwrap();
        file.set_len(FOLDER_BYTES / 2 - 1000).unwrap();
        file.set_modified(old - index * hour).unwrap();
    }
    fs::write(folder.join("abandoned.new"), "x").unwrap();
    aged(&folder.join("abandoned.new"), old).unwrap();
    fs::remove_file(&kept[0]).unwrap();
    for file in &kept[1..] {
        aged(file, old - 100 * hour).unwrap();
    }
    // The use of the other entries renews them. The one that is gone is written again, which keeps the folder's bound.
    assert_eq!(id(&tool(vat.path(), cache.path(), "out.json").output().unwrap()), expected);
    let left = entries(cache.path());
    assert!(kept.iter().all(|file| left.contains(file)), "{left:?}");
    let bytes = |file: &PathBuf| fs::metadata(file).unwrap().len();
    let sum: u64 = left.iter().filter(|file| file.starts_with(folder)).map(bytes).sum();
    assert!(sum <= FOLDER_BYTES, "{sum}");
    assert!(left.contains(&folder.join(format!("{:064}", 0))), "the youngest of the old ones");
    assert!(!left.contains(&folder.join("abandoned.new")));
}
