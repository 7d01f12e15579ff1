//! Tests of what the bundler says of a vat that can be bundled, and yet will not do what its author means.

#![allow(clippy::unwrap_used)] // tests

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    folder
}

/// Bundles a source from within its folder.
fn bundle(folder: &TempDir, source: &str) -> Output {
    let tool = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tools/bundle.mjs");
    let mut node = Command::new("node");
    node.current_dir(folder.path()).arg(tool).args([source, "out.json"]);
    node.output().unwrap()
}

/// The warnings of bundling a source, which must be bundled.
fn warnings(folder: &TempDir, source: &str) -> Vec<String> {
    let output = bundle(folder, source);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(folder.path().join("out.json").exists());
    said.lines().map(|line| line.strip_prefix("bundle: warning: ").unwrap().to_owned()).collect()
}

/// Whether there is exactly one warning for each of these, in this order.
fn assert_each(said: &[String], expected: &[&str]) {
    let same = said.len() == expected.len()
        && said.iter().zip(expected).all(|(line, start)| line.starts_with(start));
    assert!(same, "{said:#?} are not {expected:#?}");
}

#[test]
fn globals_that_no_vat_has_are_named_by_file_and_line_with_what_helps() {
    let vat = "import { later } from './later.js';\n\
               export const buildRootObject = () => {\n\
               \x20 counter = 1;\n\
               \x20 return { later, env: process.env.HOME, now: Date.now(), today: new Date() };\n\
               };\n";
    let later = "export const later = f => setTimeout(f, 10 * Math.random());\n";
    let folder = folder(&[("vat.js", vat), ("later.js", later)]);
    let expected = [
        "later.js:1:27: setTimeout is no global of a vat. Vats have no clock. A chain's timer",
        "later.js:1:46: vats refuse Math.random(). ",
        "vat.js:3:3: counter is no global of a vat. Declare or import it.",
        "vat.js:4:24: process is no global of a vat. A vat has no environment. Pass what process.env would",
        "vat.js:4:47: vats refuse Date.now(). ",
        "vat.js:4:66: vats refuse new Date(). ",
    ];
    assert_each(&warnings(&folder, "vat.js"), &expected);
    // The second time it all comes from the cache.
    assert_each(&warnings(&folder, "vat.js"), &expected);
}

#[test]
fn what_a_vat_declares_asks_for_or_has_is_no_matter() {
    let vat = "import { Far } from '@endo/far';\n\
               const { process } = { process: 1 };\n\
               const Math = { random: () => 4 };\n\
               const home = typeof window === 'undefined' ? undefined : window.location;\n\
               export const buildRootObject = ({ vatstore }, { fetch }) => {\n\
               \x20 console.log(harden([new Date(0), Math.random(), process, home, fetch]));\n\
               \x20 return Far('root', { setTimeout() { return this.setTimeout; }, require: arg => arg.require });\n\
               };\n";
    assert_each(&warnings(&folder(&[("vat.js", vat)]), "vat.js"), &[]);
}

#[test]
fn an_installed_package_is_its_authors_affair() {
    let vat = "export { x as buildRootObject } from 'dep';\n";
    let package = r#"{"name":"p","version":"1.0.0","type":"module","dependencies":{"dep":"1"}}"#;
    let descriptor = r#"{"name":"dep","version":"2.1.0","type":"module","main":"index.js"}"#;
    let folder = folder(&[
        ("vat.js", vat),
        ("package.json", package),
        ("node_modules/dep/package.json", descriptor),
        ("node_modules/dep/index.js", "export const x = () => process.env;\n"),
    ]);
    assert_each(&warnings(&folder, "vat.js"), &[]);
}

#[test]
fn imports_that_cannot_be_met_are_said() {
    let vat = "import { Far, Near } from '@endo/far';\n\
               import other, { some as any, none } from './lib.js';\n\
               import * as all from './lib.js';\n\
               export { some, more, lost } from './lib.js';\n\
               import { x, y } from 'dep';\n\
               export const buildRootObject = () => Far('x', { a: [Near, other, any, none, all, x, y] });\n";
    let lib = "export * from './more.js'; export const some = 1;";
    let package = r#"{"name":"p","version":"1.0.0","type":"module","dependencies":{"dep":"1"}}"#;
    let descriptor = r#"{"name":"dep","version":"2.1.0","main":"index.js"}"#;
    let folder = folder(&[
        ("vat.js", vat),
        ("lib.js", lib),
        ("more.js", "export const more = 2; export default 3;"),
        ("package.json", package),
        ("node_modules/dep/package.json", descriptor),
        // The exports of CommonJS are known only when it runs.
        ("node_modules/dep/index.js", "exports.x = 1; exports['y'.trim()] = 2;\n"),
    ]);
    let expected = [
        "vat.js:1:15: the vat will not start: \"@endo/far\" does not export Near. It exports E, Far,",
        "vat.js:2:8: the vat will not start: \"./lib.js\" has no default export. It exports more, some.",
        "vat.js:2:30: the vat will not start: \"./lib.js\" does not export none. ",
        "vat.js:4:22: the vat will not start: \"./lib.js\" does not export lost. ",
    ];
    assert_each(&warnings(&folder, "vat.js"), &expected);
    // The second time it all comes from the cache.
    assert_each(&warnings(&folder, "vat.js"), &expected);
}

#[test]
fn types_that_are_imported_need_not_be_exported_as_values() {
    let vat = "import { type Name, lost } from './names.ts';\n\
               import type { Other } from './names.ts';\n\
               export const buildRootObject = (name: Name, other: Other) => [name, other, lost];\n";
    let folder = folder(&[("vat.ts", vat), ("names.ts", "export type Name = string;\n")]);
    let expected = ["vat.ts:1:21: the vat will not start: \"./names.ts\" does not export lost. "];
    assert_each(&warnings(&folder, "vat.ts"), &expected);
}

#[test]
fn a_source_that_no_vat_can_be_created_from_is_said() {
    let begins =
        "vat.js: no vat can be created from a module that does not export buildRootObject. ";
    for (text, rest) in [
        ("export const start = () => {}, x = 1;", "It exports start, x."),
        ("const buildRootObject = () => {};", "It exports nothing."),
    ] {
        let said = warnings(&folder(&[("vat.js", text)]), "vat.js");
        assert_eq!(said, [format!("{begins}{rest}")]);
    }
    for text in [
        "export function buildRootObject() {}",
        "const x = () => {}; export { x as buildRootObject };",
        "export default function setup() {}",
        "export * from './other.js';",
    ] {
        let folder = folder(&[("vat.js", text), ("other.js", "export const buildRootObject = 1;")]);
        assert_each(&warnings(&folder, "vat.js"), &[]);
    }
}

#[test]
fn a_source_in_typescript_is_a_vat_and_its_globals_are_looked_at() {
    let vat = "import type { Name } from './names.ts';\n\
               import { greet } from './names.ts';\n\
               interface Root { hello(name: Name): string }\n\
               export const buildRootObject = (): Root => ({ hello: greet });\n\
               export const env: unknown = process.env;\n";
    let names = "export type Name = string;\n\
                 export const greet = (name: Name): string => `hi ${name}`;\n";
    let package = r#"{"name":"p","version":"1.0.0","type":"module"}"#;
    let alone = [("vat.ts", vat), ("names.ts", names)];
    let expected = ["vat.ts:5:29: process is no global of a vat. "];
    assert_each(&warnings(&folder(&alone), "vat.ts"), &expected);
    let packaged = folder(&[alone[0], alone[1], ("package.json", package)]);
    assert_each(&warnings(&packaged, "vat.ts"), &expected);
    let bundle = fs::read_to_string(packaged.path().join("out.json")).unwrap();
    assert!(bundle.contains("endoZipBase64Sha512"), "{bundle}");
}

#[test]
fn typescript_that_cannot_be_erased_or_found_is_refused_with_what_helps() {
    let other = ("x.ts", "export const x: number = 1;");
    for (vat, problem) in [
        ("export enum Color { Red }", "vat.ts can have no enum, namespace or parameter property."),
        ("export { x } from './x.js';", "There is x.ts. Modules in TypeScript are imported by"),
    ] {
        let folder = folder(&[("vat.ts", vat), other]);
        let output = bundle(&folder, "vat.ts");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(problem), "{said}");
    }
}

#[test]
fn vats_of_a_base_directory_are_looked_at_too() {
    let source = "export const buildRootObject = () => ({ bootstrap: () => require('x') });\n";
    let folder = folder(&[("bootstrap.js", source), ("out/.keep", "")]);
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/basedir.mjs");
    let mut node = Command::new("node");
    let output = node.current_dir(folder.path()).arg(tool).args([".", "out"]).output().unwrap();
    assert_eq!(output.stdout, b"bootstrap\n");
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = "warning: bootstrap.js:1:58: require is no global of a vat. ";
    assert!(said.starts_with(expected), "{said}");
}
