//! Tests of the bundler, `tools/bundle.mjs`: the ids that it prints, the files that it finds, and
//! its refusals.

#![allow(clippy::unwrap_used)] // tests

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

const VAT: &str = "import { Far } from '@endo/far';\nimport { greet } from './greet.js';\n\
                   export const buildRootObject = () => Far('root', { greet });\n";
const PACKAGE: &str =
    r#"{"name":"p","version":"1.2.3","type":"module","dependencies":{"@endo/far":"1"}}"#;

fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A folder with `vat.js`, a module that it imports, and these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("vat.js"), VAT).unwrap();
    fs::write(folder.path().join("greet.js"), "export const greet = () => 'hello';\n").unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn run(source: &Path) -> Output {
    let tool = package().join("tools/bundle.mjs");
    let out = source.with_extension("json");
    Command::new("node").arg(tool).arg(source).arg(out).output().unwrap()
}

/// The id that the tool prints, which must be the one in the bundle.
fn id(folder: &TempDir) -> String {
    let source = folder.path().join("vat.js");
    let output = run(&source);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bundle = fs::read(source.with_extension("json")).unwrap();
    let bundle: Value = serde_json::from_slice(&bundle).unwrap();
    let id = String::from_utf8(output.stdout).unwrap().trim().to_string();
    assert_eq!(id, format!("b1-{}", bundle["endoZipBase64Sha512"].as_str().unwrap()));
    id
}

/// The id that Endo's bundler gives by itself.
fn endo_id(folder: &TempDir) -> String {
    let script = "import '@endo/init'; import bundleSource from '@endo/bundle-source'; \
                  const bundle = await bundleSource(process.argv[1], { format: 'endoZipBase64' }); \
                  console.log(`b1-${bundle.endoZipBase64Sha512}`);";
    let mut node = Command::new("node");
    node.current_dir(package()).args(["--input-type=module", "-e", script]);
    let output = node.arg(folder.path().join("vat.js")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

fn install(folder: &TempDir) {
    std::os::unix::fs::symlink(package().join("node_modules"), folder.path().join("node_modules"))
        .unwrap();
}

#[test]
fn ids_are_those_of_endo_installed_or_not() {
    let installed = folder(&[("package.json", PACKAGE)]);
    install(&installed);
    let expected = endo_id(&installed);
    assert_eq!(id(&installed), expected);
    assert_eq!(id(&folder(&[("package.json", PACKAGE)])), expected, "our libraries are lent");
}

#[test]
fn a_source_needs_no_package() {
    let lone = id(&folder(&[]));
    assert_eq!(lone, id(&folder(&[])), "wherever it is");
    let bare = folder(&[("package.json", r#"{"name":"p","version":"1.2.3","type":"module"}"#)]);
    assert_ne!(id(&bare), lone, "but a package's name is part of the id");
}

#[test]
fn libraries_of_this_project_are_lent_too() {
    let vat = "import { makeExoGenerator } from '@capstan/remote-iterables';\n\
               import { prepareDurableIterator } from '@capstan/remote-iterables/durable.js';\n\
               export const buildRootObject = () => [makeExoGenerator, prepareDurableIterator];\n";
    let lone = id(&folder(&[("vat.js", vat)]));
    assert_eq!(lone, id(&folder(&[("vat.js", vat)])), "wherever it is");
    assert_ne!(id(&folder(&[("vat.js", vat), ("package.json", PACKAGE)])), lone);
}

#[test]
fn a_package_of_ones_own_comes_first() {
    let own = folder(&[("package.json", PACKAGE)]);
    let far = own.path().join("node_modules/@endo/far");
    fs::create_dir_all(&far).unwrap();
    let manifest = r#"{"name":"@endo/far","version":"9.9.9","type":"module","main":"far.js"}"#;
    fs::write(far.join("package.json"), manifest).unwrap();
    fs::write(far.join("far.js"), "export const Far = 'mine';\n").unwrap();
    assert_eq!(id(&own), endo_id(&own));
}

#[test]
fn what_cannot_be_bundled_is_refused_with_the_reason() {
    for (file, text, reason) in [
        (
            "vat.js",
            "// x\nexport const x = {;",
            "vat.js:2:19: Unexpected token\n  2 | export const x = {;\n    |                   ^\n",
        ),
        ("vat.js", "\nimport './gone.js';", "vat.js:2:8: there is no file \"./gone.js\" in "),
        ("vat.js", "import 'leftpad';", "vat.js:1:8: the vat imports \"leftpad\", which is not"),
        ("vat.js", "import 'fs';", "vat.js:1:8: the vat imports \"fs\", a module of Node.js"),
        ("greet.js", "import { a } from './gone.js';", "greet.js:1:19: there is no file "),
        ("package.json", "{bad", "package.json: "),
        ("package.json", r#"{"name":"p","version":"1.0.0"}"#, "set \"type\": \"module\""),
    ] {
        let folder = folder(&[(file, text)]);
        let output = run(&folder.path().join("vat.js"));
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(error.starts_with("bundle: ") && error.contains(reason), "{text}: {error}");
        assert!(!error.contains("    at "), "no stack: {error}");
        assert!(!folder.path().join("vat.json").exists());
    }
    let output = run(Path::new("/nonexistent/vat.js"));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error.trim(), "bundle: there is no file /nonexistent/vat.js");
}

/// A vat that imports `dep`, which is installed with these files besides its package.json.
fn with_dependency(descriptor: &str, files: &[(&str, &str)]) -> TempDir {
    let vat = "import { Far } from '@endo/far';\nimport { x } from 'dep';\n\
               export const buildRootObject = () => Far('root', { x: () => x });\n";
    let package = r#"{"name":"p","version":"1.0.0","type":"module","dependencies":{"dep":"1"}}"#;
    let folder = folder(&[("vat.js", vat), ("package.json", package)]);
    let dep = folder.path().join("node_modules/dep");
    for (name, text) in [("package.json", descriptor)].iter().chain(files) {
        let file = dep.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    folder
}

const DEP: &str = r#"{"name":"dep","version":"2.1.0","type":"module","main":"index.js"}"#;

#[test]
fn a_package_that_cannot_be_bundled_is_named_with_what_helps() {
    let commonjs = r#"{"name":"dep","version":"2.1.0","exports":"./esm/index.js"}"#;
    let esm = [
        ("esm/package.json", r#"{"type":"module"}"#),
        ("esm/index.js", "import { x } from './x.js'; export { x };"),
        ("esm/x.js", "export const x = 1;"),
    ];
    let subpath = r#"{"name":"dep","version":"2.1.0","exports":{"./other":"./index.js"}}"#;
    let cases: [(&str, &[(&str, &str)], &str); 4] = [
        (commonjs, &esm, "dep@2.1.0 says \"type\": \"module\" in a package.json of its folder esm"),
        (subpath, &[("index.js", "")], "but dep@2.1.0 does not export it"),
        (
            DEP,
            &[("index.js", "import 'fs'; export const x = 1;")],
            "dep@2.1.0 imports \"fs\", a module of Node.js",
        ),
        (
            DEP,
            &[("index.js", "import './x.wasm';"), ("x.wasm", "")],
            "The module x.wasm of dep@2.1.0",
        ),
    ];
    for (descriptor, files, cause) in cases {
        let folder = with_dependency(descriptor, files);
        let output = run(&folder.path().join("vat.js"));
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.starts_with("bundle: ") && error.contains(cause), "{cause}: {error}");
        assert!(!error.contains("A vat is an ES module"), "{error}");
    }
}

#[test]
fn every_failure_of_a_source_is_told() {
    let vat = "import './gone.js';\nimport 'leftpad';\nimport './greet.js';\n";
    let folder = folder(&[("vat.js", vat), ("greet.js", "\texport const greet = ;")]);
    let output = run(&folder.path().join("vat.js"));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    for part in [
        "vat.js:1:8: there is no file \"./gone.js\"",
        "vat.js:2:8: the vat imports \"leftpad\", which is not installed: npm install leftpad.",
        "greet.js:1:23: Unexpected token\n  1 | \texport const greet = ;\n    | \t                     ^\n",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let folder = folder(&[]);
    let out = folder.path().join("nowhere/out.json");
    let tool = package().join("tools/bundle.mjs");
    let output =
        Command::new("node").arg(tool).arg(folder.path().join("vat.js")).arg(&out).output();
    let error = String::from_utf8(output.unwrap().stderr).unwrap();
    let expected = format!("bundle: cannot write {}: ENOENT", out.display());
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn a_module_that_a_bundle_lacks_is_a_warning() {
    let untyped = r#"{"name":"dep","version":"2.1.0","main":"index.js"}"#;
    let cases: [(&str, &[(&str, &str)], &str); 5] = [
        (untyped, &[("index.js", "export const x = 1;")], "dep@2.1.0 has an ES module, index.js,"),
        (DEP, &[], "dep@2.1.0 has no file \"./index.js\""),
        (
            DEP,
            &[("index.js", "export const x = <b/>;")],
            "index.js of dep@2.1.0 is not plain JavaScript",
        ),
        (
            untyped,
            &[("index.js", "exports.x = require('./x.node');"), ("x.node", "")],
            "x.node of dep@2.1.0 is a native addon",
        ),
        (
            untyped,
            &[("index.js", "exports.x = require('crypto');")],
            "dep@2.1.0 imports \"crypto\", a module of Node.js",
        ),
    ];
    for (descriptor, files, cause) in cases {
        let folder = with_dependency(descriptor, files);
        let output = run(&folder.path().join("vat.js"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(said.starts_with("bundle: warning: ") && said.contains(cause), "{cause}: {said}");
    }
}

#[test]
fn a_bundler_that_runs_out_of_memory_says_so() {
    let folder = folder(&[]);
    let mut node = Command::new("node");
    // What comes from the cache needs little memory.
    node.env("CAPSTAN_CACHE", folder.path());
    node.arg("--max-old-space-size=20").arg(package().join("tools/bundle.mjs"));
    let output =
        node.arg(folder.path().join("vat.js")).arg(folder.path().join("vat.json")).output();
    let output = output.unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("bundle: the bundler ran out of memory ("), "{error}");
    assert!(error.contains("NODE_OPTIONS=--max-old-space-size="), "{error}");
    assert_eq!(output.stdout, b"");
}
