// SPDX-License-Identifier: Apache-2.0
//! Finds libswd, or builds it, and tells cargo how to link it. Run by cargo; the crate's documentation has the manual.
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A change of one of them is a reason to look for the library anew.
const VARIABLES: [&str; 6] =
    ["SWD_LIB_DIR", "SWD_STATIC", "SWD_NO_PKG_CONFIG", "SWD_CMAKE_ARGS", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR"];
const LINKED_BY_STATIC_LIBRARY: &str = "-lstdc++ -lm -pthread";

fn main() {
    for variable in VARIABLES {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    if let Some(folder) = env::var_os("SWD_LIB_DIR") {
        link_folder(Path::new(&folder));
    } else if env::var_os("SWD_NO_PKG_CONFIG").is_some() || !link_installed() {
        link_built();
    }
}

/// A folder that the user names. Shared where both kinds are there, unless SWD_STATIC says otherwise.
fn link_folder(folder: &Path) {
    let shared = folder.join("libswd.so").exists();
    let archive = folder.join("libswd.a").exists();
    assert!(shared || archive, "SWD_LIB_DIR is {}: neither libswd.so nor libswd.a is there", folder.display());
    let is_static = env::var_os("SWD_STATIC").is_some() || !shared;
    assert!(!is_static || archive, "SWD_STATIC is set, but {} has no libswd.a", folder.display());
    println!("cargo:rustc-link-search=native={}", folder.display());
    let config = folder.join("pkgconfig/swd.pc");
    match is_static {
        // What else an archive needs depends on how it was built, and is written beside it.
        true if config.exists() => link_flags(&flags_of(&config), true),
        true => link_flags(&format!("-lswd {LINKED_BY_STATIC_LIBRARY}"), true),
        false => link_flags("-lswd", false),
    }
}

/// An installed library of the same minor release, by pkg-config. While 0.x, another one has another ABI.
fn link_installed() -> bool {
    let part = |name: &str| env::var(name).unwrap().parse::<u32>().unwrap();
    let (major, minor) = (part("CARGO_PKG_VERSION_MAJOR"), part("CARGO_PKG_VERSION_MINOR"));
    let wanted = [format!("swd >= {major}.{minor}"), format!("swd < {major}.{}", minor + 1)];
    let Ok(found) = Command::new("pkg-config").arg("--libs").args(&wanted).output() else { return false };
    if found.status.success() {
        link_flags(&String::from_utf8_lossy(&found.stdout), false);
    }
    found.status.success()
}

/// The repository that this crate stands in: configures, builds and installs below OUT_DIR.
fn link_built() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../..");
    assert!(
        root.join("include/swd/swd.h").exists(),
        "libswd was not found: set SWD_LIB_DIR to the folder of libswd.so or libswd.a, install it where pkg-config finds \
         it, or build this crate inside libswd's repository"
    );
    assert!(
        env::var("HOST") == env::var("TARGET"),
        "cross builds need SWD_LIB_DIR: a folder with libswd for the target"
    );
    for part in ["CMakeLists.txt", "cmake", "include", "src"] {
        println!("cargo:rerun-if-changed={}", root.join(part).display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    let (build, prefix) = (out.join("build"), out.join("install"));
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(&root).arg("-B").arg(&build);
    configure.arg(format!("-DCMAKE_INSTALL_PREFIX={}", prefix.display()));
    configure.args(["-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_INSTALL_LIBDIR=lib", "-DSWD_INSTALL=ON"]);
    configure.args(["-DSWD_BUILD_TESTS=OFF", "-DSWD_BUILD_EXAMPLES=OFF", "-DSWD_BUILD_BENCH=OFF"]);
    // An archive: a program that is moved or installed needs no path to find it.
    configure.arg("-DBUILD_SHARED_LIBS=OFF");
    configure.arg(format!("-DSWD_CUDA={}", if cfg!(feature = "cuda") { "ON" } else { "OFF" }));
    configure.args(env::var("SWD_CMAKE_ARGS").unwrap_or_default().split_whitespace());
    run(&mut configure);
    let jobs = env::var("NUM_JOBS").unwrap_or_else(|_| "1".into());
    run(Command::new("cmake").arg("--build").arg(&build).args(["--parallel", &jobs]));
    run(Command::new("cmake").arg("--install").arg(&build));
    println!("cargo:rustc-link-search=native={}", prefix.join("lib").display());
    println!("cargo:include={}", prefix.join("include").display());
    link_flags(&flags_of(&prefix.join("lib/pkgconfig/swd.pc")), prefix.join("lib/libswd.a").exists());
}

fn run(command: &mut Command) {
    match command.status() {
        Ok(status) => assert!(status.success(), "{command:?} failed: {status}"),
        Err(error) => panic!("{command:?}: {error}. Building libswd needs cmake and a C++ compiler"),
    }
}

/// The Libs line of a pkg-config file, read here because pkg-config may not be there.
fn flags_of(config: &Path) -> String {
    let text = std::fs::read_to_string(config).unwrap_or_else(|error| panic!("{}: {error}", config.display()));
    let line = text.lines().find_map(|line| line.strip_prefix("Libs:"));
    line.unwrap_or_else(|| panic!("{} has no line that begins with Libs:", config.display())).to_string()
}

fn link_flags(flags: &str, is_static: bool) {
    for flag in flags.split_whitespace() {
        match flag.split_at(flag.len().min(2)) {
            ("-L", path) if path.starts_with("${libdir}") => {} // given by the caller
            ("-L", path) => println!("cargo:rustc-link-search=native={path}"),
            ("-l", "swd") if is_static => println!("cargo:rustc-link-lib=static=swd"),
            ("-l", library) => println!("cargo:rustc-link-lib={library}"),
            _ if flag == "-pthread" => println!("cargo:rustc-link-lib=pthread"),
            _ => println!("cargo:warning=libswd asks to be linked with {flag}, which cargo cannot pass on"),
        }
    }
}
