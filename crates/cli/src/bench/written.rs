//! How much this process has sent to the block layer, as Linux counts it in `/proc/self/io`.
//!
//! Direct writes count, and buffered pages each time they become dirty: what a journal writes ahead into its next segment counts too. The
//! file system's own records do not.

/// Bytes since the process began; `None` where the system does not tell.
pub(super) fn bytes() -> Option<u64> {
    counted(&std::fs::read_to_string("/proc/self/io").ok()?)
}

fn counted(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("write_bytes:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn the_counter_is_read_as_linux_writes_it() {
        assert_eq!(counted("wchar: 1\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n"), Some(8192));
        assert_eq!(counted("wchar: 1\n"), None);
    }
}
