//! A file system of the test's own: an image in shared memory behind a loop device, so that its power can be cut.
//!
//! The cut is the file system's own shutdown call, told not to write its log: what was not synced is lost, as the kernel's own tests of
//! file systems lose it. Everything lives in a mount namespace of the test process (`stage`): when that ends, however it ends, the kernel
//! takes mounts, loop device and image away.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `EXT4_IOC_SHUTDOWN` and `XFS_IOC_GOINGDOWN` are one number, and 2 says "do not flush the log" to both. Perl is in every Debian, and
/// starts in milliseconds.
const CUT: &str =
    r#"open(my $top, "<", $ARGV[0]) or die "open: $!"; my $how = pack("L", 2); ioctl($top, 0x8004587d, $how) or die "ioctl: $!""#;
const UNMOUNT_TRIES_MAX: u32 = 200;

/// A kind of file system, and how it is made and mounted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ext4,
    /// ext4 that may write a file's data after its metadata.
    Ext4Writeback,
    Xfs,
}

impl Kind {
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Ext4Writeback => "mkfs.ext4",
            Self::Xfs => "mkfs.xfs",
        }
    }

    fn make(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 | Self::Ext4Writeback => &["-q", "-F", "-E", "lazy_itable_init=0"],
            Self::Xfs => &["-q", "-f"],
        }
    }

    fn options(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Xfs => "loop",
            Self::Ext4Writeback => "loop,data=writeback",
        }
    }
}

/// An image on a memory disk of its own, and where it is mounted.
pub(super) struct Volume {
    kind: Kind,
    /// Where image and mount point are.
    memory: PathBuf,
}

impl Volume {
    /// Makes a file system of `bytes` on a memory disk that has `memory_bytes`, and mounts it. `None` when the kernel does not know the
    /// kind.
    pub(super) fn new(directory: &Path, kind: Kind, bytes: u64, memory_bytes: u64) -> Option<Self> {
        let memory = directory.join("memory");
        fs::create_dir_all(&memory).expect("the directory can be made");
        run("mount", &["-t", "tmpfs", "-o", &format!("size={memory_bytes}"), "tmpfs", text(&memory)]);
        let volume = Self { kind, memory };
        fs::create_dir_all(volume.root()).expect("the directory can be made");
        volume.make(bytes);
        volume.is_known().then(|| {
            volume.mount();
            volume
        })
    }

    /// A file system in a file on this one: what this one refuses, its device refuses.
    pub(super) fn inside(&self, kind: Kind, bytes: u64) -> Self {
        let volume = Self { kind, memory: self.root() };
        fs::create_dir_all(volume.root()).expect("the directory can be made");
        volume.make(bytes);
        volume.mount();
        volume
    }

    fn make(&self, bytes: u64) {
        let file = File::create(self.image()).expect("the image can be made");
        file.set_len(bytes).expect("the image can be made long");
        let mut arguments = self.kind.make().to_vec();
        let image = self.image();
        arguments.push(text(&image));
        run(self.kind.program(), &arguments);
    }

    /// A mount loads the kernel's module, where there is one.
    fn is_known(&self) -> bool {
        let (image, root) = (self.image(), self.root());
        let tried = Command::new("mount").args(["-o", self.kind.options(), text(&image), text(&root)]).output().expect("mount runs");
        let said = String::from_utf8_lossy(&tried.stderr);
        if said.contains("unknown filesystem type") {
            return false;
        }
        assert!(tried.status.success(), "mount: {said}");
        self.unmount();
        true
    }

    /// Forgets everything: an empty file system in the place of this one.
    pub(super) fn renew(&self) {
        let bytes = fs::metadata(self.image()).expect("the image is there").len();
        self.unmount();
        self.make(bytes);
        self.mount();
    }

    pub(super) fn mount(&self) {
        let (image, root) = (self.image(), self.root());
        run("mount", &["-o", self.kind.options(), text(&image), text(&root)]);
    }

    /// A process that was killed lets go of its files a moment after its end is known.
    pub(super) fn unmount(&self) {
        let root = self.root();
        for _ in 0..UNMOUNT_TRIES_MAX {
            let done = Command::new("umount").arg(&root).stderr(Stdio::null()).status().expect("umount runs");
            if done.success() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{} stays busy", root.display());
    }

    /// Cuts the power: what is not on the disk now never will be.
    pub(super) fn cut(&self) {
        run("perl", &["-e", CUT, text(&self.root())]);
    }

    /// After a cut, and after whoever used it was killed: the machine starts again.
    pub(super) fn power_on(&self) {
        self.unmount();
        self.mount();
    }

    /// Nothing is written any more until this is dropped: whoever writes hangs.
    pub(super) fn freeze(&self) -> Frozen {
        // A frozen file system outlives its mounts: it must thaw whatever becomes of this process, and then its end closes the pipe.
        let script = r#"trap "" INT TERM; fsfreeze --freeze "$0" && echo frozen; read -r _; fsfreeze --unfreeze "$0""#;
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(self.root()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().expect("sh runs");
        let mut said = String::new();
        let output = keeper.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut said).expect("it says something");
        assert_eq!(said, "frozen\n");
        Frozen(keeper)
    }

    /// Unmounts it for good, with its memory.
    pub(super) fn take_away(self) {
        self.unmount();
        run("umount", &[text(&self.memory)]);
    }

    fn image(&self) -> PathBuf {
        self.memory.join("image")
    }

    pub(super) fn root(&self) -> PathBuf {
        self.memory.join("root")
    }

    /// Where a journal may live.
    pub(super) fn data(&self) -> PathBuf {
        self.root().join("data")
    }
}

/// Keeps a file system frozen.
pub(super) struct Frozen(Child);

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the test's own paths are UTF-8")
}

/// Runs a program of the system to its end.
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
