//! The machine's own disk, where the simulated one cannot stand in.

use headwater_journal::seams::{Disk, RealDisk};

#[test]
fn a_directory_has_one_owner_even_when_its_lock_file_is_removed() {
    let folder = std::env::temp_dir().join(format!("headwater-lock-{}", std::process::id()));
    let (first, second) = (RealDisk::open(&folder).unwrap(), RealDisk::open(&folder).unwrap());
    let held = first.lock().unwrap();
    assert_eq!(second.lock().err().map(|error| error.kind()), Some(std::io::ErrorKind::WouldBlock));
    std::fs::remove_file(folder.join("lock")).unwrap();
    assert_eq!(second.lock().err().map(|error| error.kind()), Some(std::io::ErrorKind::WouldBlock));
    drop(held);
    drop(second.lock().unwrap());
    std::fs::remove_dir_all(folder).unwrap();
}
