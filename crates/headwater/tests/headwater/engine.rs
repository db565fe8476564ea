//! Where a test's service keeps its journal: its directory, or with `HEADWATER_TEST_ENGINE=postgres` a schema that goes by the directory's name.
//! `cargo xtask test` runs these tests on both.
//!
//! What only a directory has is tested on one in either run: room that retention gives back (`retention`, `rewound`), and files in which no
//! personal value may be found (`personal`, `witness`), and the lock of a directory.

use std::path::Path;

use headwater::prelude::*;

/// The service, on a free port, with what is its own in this directory. Started again with the same one, it finds what it had.
pub(crate) fn here(service: Service, directory: &Path) -> Service {
    let service = service.listen("127.0.0.1:0").data(directory.display().to_string());
    match std::env::var("HEADWATER_TEST_ENGINE").as_deref() {
        Err(_) | Ok("embedded") => service,
        Ok("postgres") => service.engine(format!("{}?service={}", server(), name(directory))),
        Ok(other) => panic!("HEADWATER_TEST_ENGINE is `{other}`, and must be embedded or postgres"),
    }
}

fn server() -> String {
    std::env::var("HEADWATER_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!("no PostgreSQL to test on: run `cargo xtask test`, which starts one, or name one in HEADWATER_TEST_POSTGRES")
    })
}

/// A schema's name has few letters to be made of.
fn name(directory: &Path) -> String {
    let text = directory.display().to_string();
    let parts: Vec<&str> = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let tail = parts[parts.len().saturating_sub(4)..].join("-").to_ascii_lowercase();
    format!("t-{}", &tail[tail.len().saturating_sub(50)..])
}
