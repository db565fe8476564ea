//! A test that hangs becomes a failure with a name: else the run would end only with what runs it, and nobody would know why.

use std::fs;
use std::process::Command;
use std::time::Duration;

/// How long a binary of tests may say nothing: longer than the longest test takes on a loaded machine. A build is not counted.
pub(super) const SILENCE_MAX: Duration = Duration::from_mins(10);

/// Kills the processes that this one started: of `cargo test` these are the test binaries. It counts each as failed and goes on to the next.
pub(super) fn kill_children(parent: u32) {
    for child in children(parent) {
        // Nothing can be done about one that ended meanwhile.
        let _ = Command::new("sh").args(["-c", "kill -KILL \"$0\"", &child.to_string()]).status();
    }
}

/// The processes whose parent is this one, by `/proc/PID/stat` (proc(5)).
fn children(parent: u32) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = processes.filter_map(|process| process.ok()?.file_name().to_str()?.parse().ok());
    numbers
        .filter(|process| fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| parent_in(&stat) == Some(parent)))
        .collect()
}

/// `PID (NAME) STATE PARENT ...`, where the name may hold spaces and brackets.
fn parent_in(stat: &str) -> Option<u32> {
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{kill_children, parent_in};

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(parent_in("31 (a b) c) S 7 31 31 0"), Some(7));
        assert_eq!(parent_in("31 (a"), None);
    }

    #[test]
    fn what_a_process_started_is_killed_and_itself_is_not() {
        let mut shell = Command::new("sh").args(["-c", "sleep 1000; exit 7"]).spawn().unwrap();
        while super::children(shell.id()).is_empty() {
            std::thread::yield_now();
        }
        kill_children(shell.id());
        assert_eq!(shell.wait().unwrap().code(), Some(7));
    }
}
