//! The same journal once the scrub has packed its old segments: how many bytes are left of them.

use std::path::Path;
use std::time::Duration;

use headwater::Failure;
use journal::Journal as _;
use journal::embedded::EmbeddedJournal;

use super::super::report::Figure;
use super::{failed, plain};

/// How long the scrub is left alone between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(50);

/// Lets the scrub pack, and waits for it. The probe is what the segments had before.
pub(super) fn pack(journal: &EmbeddedJournal, directory: &Path) -> Result<Figure, Failure> {
    let before = segment_bytes(directory).map_err(failed)?;
    journal.set_packing(true);
    let status = journal.scrub_status().expect("the engine has a scrub");
    let wanted = status.passes + 1 + u64::from(status.running);
    journal.scrub_now();
    while journal.scrub_status().is_some_and(|status| status.passes < wanted) {
        std::thread::sleep(LOOK);
    }
    if let Some(why) = journal.scrub_status().and_then(|status| status.not_packed) {
        return Err(failed(why));
    }
    let after = segment_bytes(directory).map_err(failed)?;
    let figure = plain("replay packed", after as f64, "bytes of segments", None);
    Ok(Figure { probe: Some((before as f64, "bytes before")), ratio: Some(after as f64 / before as f64), ..figure })
}

fn segment_bytes(directory: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "segment") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}
