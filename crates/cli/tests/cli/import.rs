//! Imports that are ended early and run again: real processes, killed at random moments until one of them is through, beside a file in
//! which every line is known.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use journal::{Cursor, LineageId};

use super::process::{Directory, check_code, headwater, json_lines, run, stderr, stdout};

const COMMITS: u64 = 24_000;
/// A round that nothing kills ends the test; so many come before, at most.
const KILLS_MAX: u64 = 60;

/// An export as a journal writes it: a header, then commits of carts that come again and again.
fn lines(commits: u64) -> Vec<String> {
    let lineage = [3; 16];
    let head = Cursor::from_parts(LineageId(lineage), commits);
    let hex: String = lineage.iter().map(|byte| format!("{byte:02x}")).collect();
    let header = format!(
        r#"{{"format":"headwater-export","version":1,"lineage":"{hex}","parents":[],"family_key":"{}","head":"{head}"}}"#,
        "ab".repeat(32)
    );
    let commit = |at: u64| {
        let (cart, sequence, note) = (at % 400, 1 + at / 400 - u64::from(at.is_multiple_of(400)), "x".repeat(900 + at as usize % 200));
        format!(
            r#"{{"commit":"01890000-0000-7000-8000-{at:012x}","time":"2026-01-01T00:00:{:02}.{:06}Z","position":{at},"commands":[{{"tenant":"","type":"cart","id":"c{cart}","command_id":"{at:032x}","command":"add-item","fingerprint":null,"reply":null,"events":[{{"sequence":{sequence},"name":"item-added","version":1,"content":0,"flags":0,"tags":[],"payload":{{"sku":"mug-{at}","quantity":1,"note":"{note}"}}}}]}}]}}"#,
            at / 1_000_000,
            at % 1_000_000
        )
    };
    std::iter::once(header).chain((1..=commits).map(commit)).map(|line| line + "\n").collect()
}

fn write(directory: &Directory, name: &str, lines: &[String]) {
    std::fs::write(directory.path().join(name), lines.concat()).expect("it can be written");
}

fn import(directory: &Directory, file: &str, more: &[&str]) -> Output {
    run(directory, ["events", "import", file, "--json", "--data", "copy"].iter().chain(more))
}

fn unfinished(directory: &Directory) -> PathBuf {
    directory.path().join("copy.importing")
}

/// How many segments an import has left.
fn left(directory: &Directory) -> usize {
    let files = std::fs::read_dir(unfinished(directory)).into_iter().flatten().flatten();
    files.filter(|file| file.file_name().to_string_lossy().ends_with(".segment")).count()
}

/// Every line is there, once, in its place; nothing is damaged; the root is that of an import in one go.
fn check_whole(directory: &Directory, lines: &[String]) {
    let exported = run(directory, ["events", "export", "--data", "copy"]);
    check_code(&exported, 0);
    let copy = stdout(&exported);
    let mut there = copy.split_inclusive('\n').skip(1);
    let first = lines[1..].iter().find(|line| there.next() != Some(line));
    assert!(first.is_none() && there.next().is_none(), "not there, or not once: {first:?}");
    check_code(&run(directory, ["verify", "--data", "copy"]), 0);
    write(directory, "whole.ndjson", lines);
    check_code(&run(directory, ["events", "import", "whole.ndjson", "--data", "in-one-go"]), 0);
    let root = |data: &str| stdout(&run(directory, ["journal", "root", "--data", data])).split(':').next().map(str::to_owned);
    assert_eq!(root("copy"), root("in-one-go"));
    assert!(!unfinished(directory).exists());
}

/// SplitMix64.
fn mixed(seed: u64) -> u64 {
    let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let seed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ seed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ seed >> 31
}

#[test]
fn an_import_that_is_killed_again_and_again_comes_to_the_same_as_one_in_one_go() {
    let seed = u64::from(std::process::id());
    let (directory, whole) = (Directory::new(), lines(COMMITS));
    write(&directory, "import.ndjson", &whole);
    let (mut kills, mut gone_on) = (0, 0);
    loop {
        gone_on += u64::from(left(&directory) > 0);
        let mut child = headwater(&directory);
        child.args(["events", "import", "import.ndjson", "--data", "copy"]).stderr(Stdio::null()).stdout(Stdio::null());
        let mut child = child.spawn().expect("the binary starts");
        if kills < KILLS_MAX {
            // Later rounds have more time: how fast the machine is decides only how many there are.
            std::thread::sleep(Duration::from_millis(5 + mixed(seed ^ kills) % (20 + 5 * kills)));
            child.kill().expect("it is a child of ours");
        }
        let ended = child.wait().expect("it was started");
        if directory.path().join("copy").exists() {
            break;
        }
        assert!(kills < KILLS_MAX, "seed {seed}: nothing killed it, and it is not whole: {ended:?}");
        kills += 1;
    }
    eprintln!("seed {seed}: {kills} kills, {gone_on} times gone on");
    assert!(gone_on > 0, "seed {seed}: no kill has left anything: nothing was tested");
    check_whole(&directory, &whole);
}

#[test]
fn an_import_whose_file_is_cut_or_wrong_goes_on_behind_that_line() {
    let (directory, whole) = (Directory::new(), lines(300));
    for (upto, counts) in [(101, [0, 0]), (151, [0, 0]), (301, [150, 150])] {
        write(&directory, "import.ndjson", &whole[..upto]);
        let imported = import(&directory, "import.ndjson", &[]);
        if upto < whole.len() {
            check_code(&imported, 1);
            assert!(stderr(&imported).contains("ends early"), "{}", stderr(&imported));
            continue;
        }
        check_code(&imported, 0);
        let found = &json_lines(&stdout(&imported))[0];
        assert_eq!([&found["skipped"], &found["commits"]], [&counts[0].into(), &counts[1].into()] as [&serde_json::Value; 2]);
        assert!(stderr(&imported).contains("an earlier import has left a part of this"), "{}", stderr(&imported));
    }
    check_whole(&directory, &whole);
}

#[test]
fn what_is_left_of_another_file_is_refused_with_the_line_and_begun_anew_only_when_asked() {
    let (directory, whole) = (Directory::new(), lines(300));
    write(&directory, "cut.ndjson", &whole[..201]);
    check_code(&import(&directory, "cut.ndjson", &[]), 1);
    let refused = |file: &str, why: &str| {
        let said = import(&directory, file, &[]);
        check_code(&said, 1);
        let said = stderr(&said);
        assert!(said.contains("HW0072") && said.contains(why) && said.contains("--anew"), "{said}");
        assert!(!directory.path().join("copy").exists());
    };
    let mut edited = whole.clone();
    edited[77] = edited[77].replace("mug", "cup");
    write(&directory, "edited.ndjson", &edited);
    refused("edited.ndjson", "another commit than line 78 of the export, at position 77");
    write(&directory, "longer.ndjson", &lines(301));
    refused("longer.ndjson", "left of importing another export");

    // Damage in what is left is nothing that an import goes on behind.
    let segment = unfinished(&directory).join("0000000001.segment");
    let bytes = std::fs::read(&segment).expect("it is there");
    let mut damaged = bytes.clone();
    damaged[9_000] ^= 1;
    std::fs::write(&segment, damaged).expect("it can be written");
    write(&directory, "import.ndjson", &whole);
    refused("import.ndjson", "cannot be gone on with");
    std::fs::write(&segment, bytes).expect("it can be written");

    check_code(&import(&directory, "edited.ndjson", &["--anew"]), 0);
    let there = import(&directory, "import.ndjson", &[]);
    check_code(&there, 1);
    assert!(stderr(&there).contains("another commit than line 78"), "{}", stderr(&there));
    std::fs::remove_dir_all(directory.path().join("copy")).expect("it is there");
    check_code(&import(&directory, "import.ndjson", &[]), 0);
    check_whole(&directory, &whole);
}

#[test]
fn an_export_without_events_is_a_journal_without_events() {
    let (directory, whole) = (Directory::new(), lines(0));
    write(&directory, "import.ndjson", &whole);
    check_code(&import(&directory, "import.ndjson", &[]), 0);
    check_whole(&directory, &whole);
    check_code(&import(&directory, "import.ndjson", &[]), 0);
}
