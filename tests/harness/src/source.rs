//! The house as data: its crates, its files and their lines, for the test of its rules.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One crate of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crate {
    /// Its folder below the top of the workspace, as `datapath/flow`.
    pub folder: String,
    /// Names of what it depends upon, in a build that is not a test.
    pub needs: BTreeSet<String>,
}

/// The workspace's crates by name, from `cargo metadata`.
pub fn crates(root: &Path) -> Result<BTreeMap<String, Crate>, String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--format-version=1", "--no-deps", "--offline"]).current_dir(root);
    let output = cargo.output().map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut crates = BTreeMap::new();
    for package in list(&metadata, "packages") {
        let manifest = PathBuf::from(text(&package, "manifest_path"));
        let folder = manifest.parent().and_then(|dir| dir.strip_prefix(root).ok()).unwrap_or(Path::new(""));
        let needs = list(&package, "dependencies").into_iter().filter(|need| need["kind"].as_str() != Some("dev"));
        let needs = needs.map(|need| text(&need, "name")).collect();
        crates.insert(text(&package, "name"), Crate { folder: folder.display().to_string(), needs });
    }
    Ok(crates)
}

/// A source file of the workspace.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Path below the top.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// All `.rs` files below `root`, by path; build output is left out.
pub fn files(root: &Path) -> Result<Vec<SourceFile>, String> {
    let mut files = Vec::new();
    for top in ["actors", "bin", "datapath", "ofproto", "ovsdb", "tests"] {
        collect(root, &root.join(top), &mut files)?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<SourceFile>) -> Result<(), String> {
    let entries = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(root, &path, files)?;
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let path = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            files.push(SourceFile { path, text });
        }
    }
    Ok(())
}

impl SourceFile {
    /// True for tests, examples and benchmarks: files that are in no program.
    pub fn is_test(&self) -> bool {
        let part = |name: &str| self.path.split('/').any(|part| part == name);
        part("tests") || part("examples") || part("benches") || self.path.ends_with("/tests.rs")
    }

    /// The lines of code, by number: no comments, no strings, and nothing after the first `#[cfg(test)]`.
    pub fn code(&self) -> Vec<(usize, String)> {
        let mut code = Vec::new();
        for (at, line) in self.text.lines().enumerate() {
            if line.trim() == "#[cfg(test)]" {
                break;
            }
            code.push((at + 1, without_strings(line)));
        }
        code
    }
}

/// `line` without its comment and without what stands between double quotes.
fn without_strings(line: &str) -> String {
    let mut code = String::new();
    let mut chars = line.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => drop(chars.next()),
            '"' => quoted = !quoted,
            '/' if !quoted && chars.peek() == Some(&'/') => break,
            _ if quoted => {}
            _ => code.push(c),
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_what_is_neither_comment_nor_string() {
        for (line, code) in
            [("let a = 1; // unsafe", "let a = 1; "), ("say(\"unsafe \\\" // {}\", x)", "say(, x)"), ("/// unsafe", "")]
        {
            assert_eq!(without_strings(line), code);
        }
        let file = SourceFile { path: "a/src/b.rs".into(), text: "one\n#[cfg(test)]\ntwo\n".into() };
        assert_eq!(file.code(), [(1, "one".to_owned())]);
    }
}
