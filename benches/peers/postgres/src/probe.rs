//! The raw disk: how many 4 KiB can be appended to a file and synced (`fdatasync`, as the server does it) a second.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Outcome;

const APPEND: [u8; 4096] = [0xa5; 4096];

/// Appends and syncs a second.
pub(crate) fn syncs(path: &Path, duration: Duration) -> Outcome<f64> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let (begun, mut appends) = (Instant::now(), 0_u64);
    while begun.elapsed() < duration {
        file.write_all(&APPEND)?;
        file.sync_data()?;
        appends += 1;
    }
    let rate = appends as f64 / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}
