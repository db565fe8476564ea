//! Open files of the log, so that a read of an index or of an event costs no open. A few are kept open.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::limits::OPEN_FILES_MAX;
use super::segment::{self, HeaderFault, Segment, seal_name};
use crate::seams::{Disk, DiskFile};

/// Files are written once, under another name, and a later one may take the name: what is open of a segment is known by its epoch too.
pub(crate) struct OpenFiles {
    pub(crate) disk: Arc<dyn Disk>,
    segments: Few<Segment>,
    seals: Few<Arc<dyn DiskFile>>,
}

impl OpenFiles {
    pub(crate) fn new(disk: &Arc<dyn Disk>) -> Arc<Self> {
        Arc::new(Self { disk: Arc::clone(disk), segments: Few::default(), seals: Few::default() })
    }

    /// A segment of an epoch, its header verified when it was opened. Whether the epoch is the header's is for the caller to ask.
    pub(crate) fn segment(&self, number: u64, epoch: u64) -> Result<Segment, HeaderFault> {
        self.segments.get((number, epoch), || segment::open(&*self.disk, number))
    }

    /// The file of the seal of a segment of an epoch.
    pub(crate) fn seal(&self, number: u64, epoch: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.seals.get((number, epoch), || Ok(self.disk.open(&seal_name(number))?.into()))
    }

    /// A new seal has this number: what was open under it may be one that did not verify, or is another's.
    pub(crate) fn forget_seal(&self, number: u64) {
        self.seals.forget(number);
    }

    /// Another file has this segment's name.
    pub(crate) fn forget_segment(&self, number: u64) {
        self.segments.forget(number);
    }
}

/// The number in a name, and the epoch of what is meant by it.
type Named = (u64, u64);

/// Some of those that were used: when there are too many, any one is let go, and not all of them, which all were asked for a moment ago.
struct Few<T> {
    open: Mutex<HashMap<Named, T>>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self { open: Mutex::default() }
    }
}

impl<T: Clone> Few<T> {
    fn get<E>(&self, name: Named, open: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        if let Some(file) = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(file.clone());
        }
        let file = open()?;
        let mut few = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if few.len() >= OPEN_FILES_MAX
            && let Some(any) = few.keys().next().copied()
        {
            few.remove(&any);
        }
        few.insert(name, file.clone());
        Ok(file)
    }

    fn forget(&self, number: u64) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| name.0 != number);
    }
}
