//! The project's sources as text, without comments and without what only tests see.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Returns the folder of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Lists the Rust sources in a folder, without those of tests and benchmarks.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !["tests", "benches", "examples", "node_modules"].contains(&&*name) {
            files.extend(rust_files(&path));
        } else if name.ends_with(".rs") && !name.ends_with("_tests.rs") && name != "tests.rs" {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Returns the code of a file: comments and items of `cfg(test)` become blank, lines keep their numbers.
pub(crate) fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().map(without_comment).collect();
    let mut code = Vec::with_capacity(lines.len());
    let mut rest = lines.iter();
    while let Some(line) = rest.next() {
        if line.trim() != "#[cfg(test)]" {
            code.push((*line).to_owned());
            continue;
        }
        code.push(String::new());
        // The item ends with its braces, or with the first semicolon before any.
        let mut depth = 0_i32;
        for line in rest.by_ref() {
            code.push(String::new());
            depth += line.matches('{').count() as i32 - line.matches('}').count() as i32;
            let is_attribute = line.trim_start().starts_with("#[");
            if depth == 0 && !is_attribute && (line.contains('}') || line.contains(';')) {
                break;
            }
        }
    }
    code.join("\n")
}

/// Cuts a comment off a line. A double slash after a colon belongs to an address in a text.
fn without_comment(line: &str) -> &str {
    let starts = line.match_indices("//").map(|(at, _)| at);
    let comment = starts.into_iter().find(|at| !line[..*at].ends_with(':'));
    comment.map_or(line, |at| &line[..at])
}

/// Fails if a file's code has one of these words.
pub(crate) fn refuse(file: &Path, words: &[&str], why: &str) {
    for (index, line) in code(file).lines().enumerate() {
        for word in words {
            let is_there = match word.chars().all(|c| c.is_alphanumeric() || c == '_') {
                true => line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == *word),
                false => line.contains(word),
            };
            assert!(!is_there, "{}:{}: {why} {word}", file.display(), index + 1);
        }
    }
}

#[test]
fn code_is_read_to_the_end_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.rs");
    let text = "use a; // not this\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n  b {}\n}\nlet c = \"http://d\";\n";
    fs::write(&file, text).unwrap();
    assert_eq!(code(&file), "use a; \n\n\n\n\n\nlet c = \"http://d\";");
    fs::write(&file, "#[cfg(test)]\nmod tests;\nuse e;\n").unwrap();
    assert_eq!(code(&file), "\n\nuse e;");
}
