//! The tortures by name. A new one is one entry here, one line in `docs/reliability.md`, and a test that reads its two variables.

/// One of them.
pub(super) struct Torture {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// How much of it CI runs.
    pub(super) in_ci: &'static str,
    pub(super) how: How,
    /// The variables through which it hears how much, and from which seed.
    pub(super) rounds: &'static str,
    pub(super) seed: &'static str,
    /// Options of its own, and their variables.
    pub(super) more: &'static [(&'static str, &'static str)],
}

/// How it is run.
pub(super) enum How {
    /// Tests whose name contains `test`, of an integration binary or of the library.
    Test { package: &'static str, binary: Option<&'static str>, test: &'static str },
    /// A target of `fuzz/`, under libFuzzer and the address sanitizer.
    Fuzz { target: &'static str },
}

/// A test of the journal's own on a simulated disk.
const fn simulated(name: &'static str, test: &'static str, rounds: &'static str, what: &'static str, in_ci: &'static str) -> Torture {
    let how = How::Test { package: "headwater-journal", binary: Some("journal"), test };
    Torture { name, what, in_ci, how, rounds, seed: "HEADWATER_SIM_SEED", more: &[] }
}

const fn fuzz(name: &'static str, target: &'static str, what: &'static str) -> Torture {
    let in_ci = "60 s with the nightly toolchain, else 2,000 mutations of its corpus";
    Torture { name, what, in_ci, how: How::Fuzz { target }, rounds: "HEADWATER_FUZZ_RUNS", seed: "HEADWATER_FUZZ_SEED", more: &[] }
}

const fn cli(test: &'static str) -> How {
    How::Test { package: "headwater-cli", binary: Some("cli"), test }
}

/// For one that draws nothing.
const UNSEEDED: &str = "HEADWATER_TORTURE_SEED";

pub(super) const NAMES: &[Torture] = &[
    Torture {
        name: "kills",
        what: "a shop under load, kill -9 at random moments; a round is a kill, and a witness works out what must come of it all",
        in_ci: "30 kills over 50,000 events",
        how: cli("torture::whatever_is_killed_when_views_parcels_and_messages_are_as_they_must_be"),
        rounds: "HEADWATER_TORTURE_KILLS",
        seed: "HEADWATER_TORTURE_SEED",
        more: &[("--events", "HEADWATER_TORTURE_EVENTS")],
    },
    Torture {
        name: "power",
        what: "power cuts on real ext4 (twice) and XFS, 8 writers; a round is a cut on each. Takes root and loop devices",
        in_ci: "100 cuts on each",
        how: cli("disk::power::a_power_cut_"),
        rounds: "HEADWATER_POWER_CUTS",
        seed: "HEADWATER_POWER_SEED",
        more: &[],
    },
    Torture {
        name: "points",
        what: "an end, or a power cut, before and within every disk call of a load that rolls and seals, with a live reader; a round is a point",
        in_ci: "160 ends and 160 cuts, spread over all calls",
        how: cli("disk::points::"),
        rounds: "HEADWATER_POINTS",
        seed: "HEADWATER_POINTS_SEED",
        more: &[],
    },
    Torture {
        name: "refused",
        what: "a device that begins to refuse under 8 writers; a round is a device. Takes root and loop devices",
        in_ci: "12 devices",
        how: cli("disk::refused::"),
        rounds: "HEADWATER_REFUSALS",
        seed: "HEADWATER_REFUSALS_SEED",
        more: &[],
    },
    Torture {
        name: "full",
        what: "a shop whose disk is filled and emptied by somebody else; a round is a filling. Takes root and loop devices",
        in_ci: "6 fillings",
        how: cli("disk::full::"),
        rounds: "HEADWATER_FILLINGS",
        seed: UNSEEDED,
        more: &[],
    },
    Torture {
        name: "stall",
        what: "a shop whose disk hangs under many commands; a round is a stall. Takes root and loop devices",
        in_ci: "2 stalls",
        how: cli("disk::stall::"),
        rounds: "HEADWATER_STALLS",
        seed: UNSEEDED,
        more: &[],
    },
    simulated(
        "sim",
        "sim::whatever_the_disk_does_what_was_acknowledged_stays_and_the_journal_gets_on",
        "HEADWATER_SIM_SEEDS",
        "the engine in one thread on a disk with every fault; a round is a seed, the seed is the first one",
        "20,000 seeds",
    ),
    simulated(
        "images",
        "sim::images::every_crash_image_opens_with_all_that_was_acknowledged",
        "HEADWATER_IMAGES",
        "every subset of unsynced blocks that a crash may leave; a round is an image",
        "4,000 images",
    ),
    simulated(
        "pairs",
        "sim::stale::nothing_of_a_torn_tail_comes_back_after_the_next_crash",
        "HEADWATER_CRASH_PAIRS",
        "a crash, a repair, another crash: nothing of the first tail comes back; a round is a pair",
        "2,000 pairs",
    ),
    simulated(
        "flips",
        "flips::bits_flipped_anywhere_in_a_large_journal_are_found_or_do_no_harm",
        "HEADWATER_FLIPS",
        "bits flipped anywhere in a large journal; a round is a bit",
        "5,000 bits, and every bit and byte of a small journal",
    ),
    simulated(
        "tamper",
        "tamper::random_changes_with_fitting_checksums_are_found",
        "HEADWATER_TAMPER_ROUNDS",
        "somebody changes the log and mends every checksum; a round is a change",
        "10,000 changes, and every byte of a small log",
    ),
    Torture {
        name: "transfers",
        what: "workflows that move money while their processes end all the time; a round is a transfer, and the sum is to the cent",
        in_ci: "1,000 transfers, and a saga of six steps cut off before each step of each of its tasks",
        how: How::Test { package: "headwater-runtime", binary: None, test: "workflow::tests::cut::random_transfers_" },
        rounds: "HEADWATER_TRANSFERS",
        seed: "HEADWATER_TRANSFERS_SEED",
        more: &[],
    },
    Torture {
        name: "postgres",
        what: "a PostgreSQL server that is killed under load from two nodes, one in ten of whose transactions is late, rolled back or committed without an answer; a round is a kill. Takes Debian's package",
        in_ci: "20 kills",
        how: How::Test {
            package: "headwater-engine-postgres",
            binary: Some("postgres"),
            test: "killed::nothing_is_lost_doubled_or_skipped_while_the_server_is_killed_under_load",
        },
        rounds: "HEADWATER_POSTGRES_KILLS",
        seed: UNSEEDED,
        more: &[],
    },
    Torture {
        name: "postgres-stops",
        what: "a node that is stopped while it holds the lock on the head, replaced and continued; a round is a stop",
        in_ci: "3 stops",
        how: How::Test {
            package: "headwater-engine-postgres",
            binary: Some("postgres"),
            test: "stopped::a_node_that_is_stopped_with_the_lock_is_replaced_and_writes_nothing_more",
        },
        rounds: "HEADWATER_POSTGRES_STOPS",
        seed: UNSEEDED,
        more: &[],
    },
    Torture {
        name: "postgres-histories",
        what: "concurrent calls on two nodes, whose transactions have bad luck; a round is a history that one order must explain",
        in_ci: "50 histories",
        how: How::Test {
            package: "headwater-engine-postgres",
            binary: Some("postgres"),
            test: "histories::one_order_explains_every_history_of_two_nodes",
        },
        rounds: "HEADWATER_POSTGRES_HISTORIES",
        seed: UNSEEDED,
        more: &[],
    },
    Torture {
        name: "histories",
        what: "concurrent calls on the embedded engine; a round is a history that one order must explain",
        in_ci: "50 histories",
        how: How::Test {
            package: "headwater-journal",
            binary: Some("journal"),
            test: "suite::one_order_explains_every_history_of_the_embedded_engine",
        },
        rounds: "HEADWATER_HISTORIES",
        seed: UNSEEDED,
        more: &[],
    },
    Torture {
        name: "nodes",
        what: "two nodes of a shop, one of which is stopped past its time under load and goes on; a round is a stop. Takes a PostgreSQL server",
        in_ci: "2 stops",
        how: cli("nodes::a_node_that_is_stopped_past_its_time_writes_nothing_stale"),
        rounds: "HEADWATER_STOP_ROUNDS",
        seed: UNSEEDED,
        more: &[],
    },
    Torture {
        name: "nodes-retail",
        what: "the whole retail file through three nodes of a shop that are killed in turn and come back; a round is a kill. Takes a PostgreSQL server",
        in_ci: "2 kills, over the first 20,000 lines",
        how: cli("nodes::the_retail_file_comes_to_its_totals_through_three_nodes_that_are_killed"),
        rounds: "HEADWATER_RETAIL_KILLS",
        seed: UNSEEDED,
        more: &[],
    },
    Torture {
        name: "shared-views",
        what: "a service that fills a shared view is killed under load, and another process goes on; a round is a kill. Takes a PostgreSQL server",
        in_ci: "4 kills",
        how: How::Test {
            package: "headwater",
            binary: Some("headwater"),
            test: "shared_views::killed::a_service_that_is_killed_while_it_fills_leaves_rows_and_place_that_agree",
        },
        rounds: "HEADWATER_VIEW_KILLS",
        seed: UNSEEDED,
        more: &[],
    },
    fuzz("fuzz-frame", "frame", "the decoder of frames and commits under a fuzzer; a round is an input"),
    fuzz("fuzz-segment", "segment", "a whole directory with one fuzzed segment: looked at, verified, recovered"),
    fuzz("fuzz-seal", "seal", "the footer and the rows of a sealed index"),
    fuzz("fuzz-packed", "packed", "a packed segment: its header, its table and its blocks"),
    fuzz("fuzz-registers", "registers", "the registers' log"),
    fuzz("fuzz-roots", "roots", "the log of the segments' roots: read, opened, gone on with"),
    fuzz("fuzz-proof", "proof", "a root as a person keeps it, and the path of a proof"),
    fuzz("fuzz-backup", "backup", "what a backup says that it holds: read, and gone on with"),
    fuzz("fuzz-export", "export", "the lines of an export: read, appended, and there again after a restart"),
    fuzz("fuzz-cursor", "cursor", "cursors as clients send them"),
    fuzz("fuzz-snapshots", "snapshots", "the file of snapshots"),
    fuzz("fuzz-http", "http", "bodies of commands, batches, CloudEvents and consumers, over HTTP"),
];
