// SPDX-License-Identifier: Apache-2.0
//! Reads swd.h as far as its own style needs: structs, enumerators, functions; and asks the C compiler for the numbers.
//! Used by header.rs.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What one side knows: sizes, offsets and values by name, such as "swd_group.eps offset".
pub type Facts = BTreeMap<String, i64>;

fn include_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../include")
}

/// The header without comments and preprocessor lines.
pub fn declarations() -> String {
    let text =
        std::fs::read_to_string(include_folder().join("swd/swd.h")).expect("the tests run inside the repository");
    let mut bare = String::new();
    for (i, piece) in text.split("/*").enumerate() {
        bare += if i == 0 { piece } else { piece.split_once("*/").expect("a comment that ends").1 };
    }
    let joined = bare.replace("\\\n", " ");
    joined.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// The statements inside the braces that follow each `opening`, with what stands between `}` and `;`.
fn blocks<'a>(text: &'a str, opening: &str) -> Vec<(&'a str, &'a str)> {
    let mut out = Vec::new();
    for piece in text.split(opening).skip(1) {
        let (Some(begin), Some(end)) = (piece.find('{'), piece.find('}')) else { continue };
        let name = piece[end + 1..].split(';').next().unwrap().trim();
        out.push((&piece[begin + 1..end], name));
    }
    out
}

pub fn enumerators(text: &str) -> Vec<String> {
    let bodies = blocks(text, "enum ");
    let entries = bodies.iter().flat_map(|(body, _)| body.split(','));
    entries.map(|entry| entry.split('=').next().unwrap().trim().to_string()).filter(|name| !name.is_empty()).collect()
}

/// Name and members of each struct that has members in the header.
pub fn structs(text: &str) -> Vec<(String, Vec<String>)> {
    let member = |line: &str| line.trim().rsplit([' ', '*']).next().unwrap().to_string();
    let read = |body: &str| body.split(';').map(member).filter(|name| !name.is_empty()).collect();
    blocks(text, "typedef struct ")
        .into_iter()
        .filter(|(body, _)| !body.contains("SWD_API"))
        .map(|(body, name)| (name.to_string(), read(body)))
        .collect()
}

/// Each function as its declaration in Rust, in words separated by single spaces.
pub fn functions(text: &str) -> Vec<String> {
    text.split("SWD_API").skip(1).map(|piece| rust_declaration(piece.split(';').next().unwrap())).collect()
}

fn rust_declaration(c: &str) -> String {
    let (head, rest) = c.split_once('(').unwrap();
    let (result, name) = split_name(head);
    let list = rest.trim().trim_end_matches(')');
    let parameters = list.split(',').filter(|p| p.trim() != "void").map(|p| {
        let (kind, name) = split_name(p);
        let name = if name == "in" { "in_".to_string() } else { name }; // a keyword of Rust
        format!("{name}: {}", rust_type(&kind))
    });
    format!("pub fn {name}({}) -> {};", parameters.collect::<Vec<_>>().join(", "), rust_type(&result))
}

fn split_name(declaration: &str) -> (String, String) {
    let words = declaration.replace('*', " * ").split_whitespace().collect::<Vec<_>>().join(" ");
    let (kind, name) = words.rsplit_once(' ').unwrap();
    (kind.to_string(), name.to_string())
}

/// "const void * const *" to "*const *const c_void": the innermost type first, then its stars from left to right.
fn rust_type(c: &str) -> String {
    let mut constant = false;
    let mut out = String::new();
    for word in c.split(' ') {
        match word {
            "const" => constant = true,
            "*" => {
                out = format!("*{} {out}", if constant { "const" } else { "mut" });
                constant = false;
            }
            base => out = base_type(base).to_string(),
        }
    }
    out
}

fn base_type(c: &str) -> &str {
    match c {
        "uint8_t" => "u8",
        "uint32_t" => "u32",
        "int32_t" => "i32",
        "uint64_t" => "u64",
        "int64_t" => "i64",
        "float" => "f32",
        "double" => "f64",
        "char" => "c_char",
        "void" => "c_void",
        own => own,
    }
}

/// Sizes, offsets and values of everything in the header, as the C compiler sees them.
pub fn facts_of_compiler(text: &str) -> Facts {
    let mut program =
        String::from("#include <stddef.h>\n#include <stdio.h>\n#include \"swd/swd.h\"\nint main(void) {\n");
    let mut print =
        |name: &str, value: String| program += &format!("  printf(\"{name}=%lld\\n\", (long long)({value}));\n");
    for (name, members) in structs(text) {
        print(&format!("{name} size"), format!("sizeof({name})"));
        for member in members {
            print(&format!("{name}.{member} offset"), format!("offsetof({name}, {member})"));
            print(&format!("{name}.{member} size"), format!("sizeof((({name}*)0)->{member})"));
        }
    }
    for name in enumerators(text).into_iter().chain(["MAJOR", "MINOR", "PATCH"].map(|p| format!("SWD_VERSION_{p}"))) {
        print(&name.clone(), name);
    }
    program += "  union { swd_group group; long long words[7]; } init = {SWD_GROUP_INIT};\n";
    program += "  for (int i = 0; i < 7; ++i) printf(\"SWD_GROUP_INIT %d=%lld\\n\", i, init.words[i]);\n";
    program += "  return 0;\n}\n";
    let output = run_c("layout", &program);
    output.lines().map(|line| line.split_once('=').unwrap()).map(|(k, v)| (k.to_string(), v.parse().unwrap())).collect()
}

fn run_c(name: &str, program: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, binary) = (folder.join(format!("{name}.c")), folder.join(name));
    std::fs::write(&source, program).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let include = format!("-I{}", include_folder().display());
    let built = Command::new(&compiler).arg(include).arg("-o").arg(&binary).arg(&source).status().unwrap();
    assert!(built.success(), "{compiler} refused {}", source.display());
    let ran = Command::new(&binary).output().unwrap();
    assert!(ran.status.success());
    String::from_utf8(ran.stdout).unwrap()
}
