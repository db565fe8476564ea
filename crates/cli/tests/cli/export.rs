//! Exports that were changed, and directories that hold something else: an import refuses them and changes nothing.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use super::process::{Directory, Shop, check_code, json_lines, run, stderr, stdout};

fn add(directory: &Directory, shop: &Shop, cart: &str) {
    let item = r#"{"sku":"mug","quantity":1}"#;
    check_code(&run(directory, ["send", "cart", cart, "add-item", item, "--url", &shop.url]), 0);
}

fn stop(mut shop: Shop) {
    shop.signal("INT");
    assert_eq!(shop.ended(), Some(0));
}

fn export(directory: &Directory, data: &str) -> Vec<String> {
    let output = run(directory, ["events", "export", "--data", data]);
    check_code(&output, 0);
    stdout(&output).split_inclusive('\n').map(str::to_owned).collect()
}

/// A header, the commit that registers the shop's shapes, the one that places its consumer, and five more, each of another cart.
fn exported(directory: &Directory) -> Vec<String> {
    let shop = Shop::start(directory, &["--empty", "--data", "origin"]);
    ["a", "b", "c", "d", "e"].iter().for_each(|cart| add(directory, &shop, cart));
    stop(shop);
    let lines = export(directory, "origin");
    assert_eq!(lines.len(), 8);
    lines
}

/// How many shapes the first commit of an export registers: the positions of all others are behind them.
fn shapes(lines: &[String]) -> u64 {
    json_lines(&lines[1])[0]["commands"].as_array().map_or(0, Vec::len) as u64
}

fn import(directory: &Directory, lines: &[String], data: &str) -> Output {
    let file = directory.path().join("import.ndjson");
    std::fs::write(&file, lines.concat()).expect("it can be written");
    run(directory, [Path::new("events"), Path::new("import"), &file, Path::new("--json"), Path::new("--data"), Path::new(data)])
}

#[track_caller]
fn check_refused(output: &Output, why: &str) {
    check_code(output, 1);
    assert!(stderr(output).contains("HW0072") && stderr(output).contains(why), "{}", stderr(output));
}

#[test]
fn a_line_that_is_missing_repeated_or_moved_is_refused_and_the_whole_file_goes_in_after_it() {
    let directory = Directory::new();
    let whole = exported(&directory);
    for order in [
        vec![0, 1, 2, 3, 5, 6, 7],
        vec![0, 1, 2, 3, 3, 5, 6, 7],
        vec![0, 1, 2, 3, 5, 4, 6, 7],
        vec![0, 1, 2, 3, 4, 5, 6, 7, 7],
        vec![0, 2, 3, 4, 5, 6, 7],
    ] {
        let changed: Vec<_> = order.iter().map(|index: &usize| whole[*index].clone()).collect();
        check_refused(&import(&directory, &changed, "copy"), "of the export");
        assert!(!directory.path().join("copy").exists(), "{order:?}");
    }
    check_refused(&import(&directory, &whole[..4], "copy"), "ends early");
    check_code(&import(&directory, &whole, "copy"), 0);
    assert_eq!(export(&directory, "copy")[1..], whole[1..]);
    assert!(!directory.path().join("copy.importing").exists());
}

#[test]
fn a_command_that_is_twice_in_a_file_is_refused() {
    let directory = Directory::new();
    let mut lines = exported(&directory);
    let place = |add: u64| format!("\"position\":{}", shapes(&lines) + add);
    lines[4] = lines[3].replace(&place(2), &place(3));
    assert_ne!(lines[4], lines[3]);
    check_refused(&import(&directory, &lines, "copy"), "line 5 of the export was refused");
    assert!(!directory.path().join("copy").exists());
}

#[test]
fn a_directory_with_data_is_compared_and_never_added_to() {
    let directory = Directory::new();
    let older = exported(&directory);
    check_code(&import(&directory, &older, "copy"), 0);
    let again = import(&directory, &older, "copy");
    check_code(&again, 0);
    let counts = &json_lines(&stdout(&again))[0];
    assert_eq!((&counts["commits"], &counts["events"], &counts["skipped"]), (&0.into(), &0.into(), &7.into()));
    let mut edited = older.clone();
    edited[5] = edited[5].replace("mug", "cup");
    assert_ne!(edited, older);
    check_refused(&import(&directory, &edited, "copy"), "another commit than line 6");
    check_refused(&import(&directory, &older[..6], "copy"), "ends early");

    let shop = Shop::start(&directory, &["--empty", "--data", "origin"]);
    ["f", "g"].iter().for_each(|cart| add(&directory, &shop, cart));
    stop(shop);
    let newer = export(&directory, "origin");
    check_refused(&import(&directory, &newer, "copy"), "another history");
    check_refused(
        &import(&directory, &older, "origin"),
        &format!("has {} events and the export {}", shapes(&older) + 8, shapes(&older) + 6),
    );
    assert_eq!(export(&directory, "copy")[1..], older[1..]);

    let shop = Shop::start(&directory, &["--empty", "--data", "copy"]);
    add(&directory, &shop, "h");
    stop(shop);
    let grown = export(&directory, "copy");
    check_refused(&import(&directory, &older, "copy"), &format!("has {} events and the export {}", shapes(&older) + 7, shapes(&older) + 6));
    check_refused(&import(&directory, &newer, "copy"), "another history");
    assert_eq!(export(&directory, "copy"), grown);
}

#[test]
fn a_directory_that_cannot_take_an_import_is_left_as_it_is() {
    let directory = Directory::new();
    let lines = exported(&directory);
    check_refused(&import(&directory, &lines, "."), "has files, but no journal");
    let names: std::collections::BTreeSet<_> = std::fs::read_dir(directory.path())
        .expect("it is there")
        .map(|entry| entry.expect("it is readable").file_name().into_string().expect("it is UTF-8"))
        .collect();
    assert_eq!(names, ["import.ndjson", "origin"].map(str::to_owned).into());

    let empty = Directory::new();
    let file = directory.path().join("import.ndjson");
    let import_here = [Path::new("events"), Path::new("import"), &file, Path::new("--data"), Path::new(".")];
    check_refused(&run(&empty, import_here), "is the working directory");
    assert_eq!(std::fs::read_dir(empty.path()).expect("it is there").count(), 0);
    std::fs::create_dir(directory.path().join("copy")).expect("it can be made");
    check_code(&import(&directory, &lines, "./copy/."), 0);
    assert_eq!(export(&directory, "copy")[1..], lines[1..]);
}

/// All files of a directory with what is in them.
fn content(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("it is readable").path());
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).expect("it is UTF-8").to_owned();
    files.filter(|path| path.is_file()).map(|path| (name(&path), std::fs::read(&path).expect("it is readable"))).collect()
}

/// Flips a bit in the `nth` frame of the first segment, found as `docs/format.md` draws it.
fn damage(directory: &Directory, data: &str, nth: usize) {
    let path = directory.path().join(data).join("0000000001.segment");
    let mut bytes = std::fs::read(&path).expect("it is readable");
    let frames: Vec<usize> = (512..bytes.len()).step_by(512).filter(|at| bytes[*at..].starts_with(b"HWFR")).collect();
    bytes[frames[nth] + 100] ^= 4;
    std::fs::write(&path, bytes).expect("it can be written");
}

fn export_what_is_whole(directory: &Directory, data: &str) -> Output {
    run(directory, ["events", "export", "--skip-damage", "--data", data])
}

#[test]
fn what_is_whole_of_a_damaged_journal_is_exported_with_a_line_for_each_gap() {
    let directory = Directory::new();
    let whole = exported(&directory);
    damage(&directory, "origin", 3);
    let lost = shapes(&whole) + 3;
    let before = content(&directory.path().join("origin"));

    let refused = run(&directory, ["events", "export", "out.ndjson", "--data", "origin"]);
    check_code(&refused, 6);
    let said = stderr(&refused);
    assert!(said.contains("HW0067") && said.contains(&format!("positions {lost} to {lost}")) && said.contains("--skip-damage"), "{said}");
    assert!(!directory.path().join("out.ndjson").exists());

    let partial = export_what_is_whole(&directory, "origin");
    check_code(&partial, 6);
    let lines: Vec<String> = stdout(&partial).split_inclusive('\n').map(str::to_owned).collect();
    assert_eq!([&lines[1..4], &lines[5..]].concat(), [&whole[1..4], &whole[5..]].concat());
    let parsed = json_lines(&lines.concat());
    assert_eq!(parsed[0]["gaps"], 1);
    let gap = &parsed[4]["gap"];
    assert_eq!((&gap["first"], &gap["last"]), (&lost.into(), &lost.into()));
    assert!(gap["resume"].is_string() && gap["place"].as_str().is_some_and(|place| place.contains("0000000001.segment")), "{gap}");
    let said = stderr(&partial);
    assert!(said.contains("damaged: 0000000001.segment: bytes ") && said.contains("gaps: 1"), "{said}");
    check_code(&run(&directory, ["verify", "--data", "origin"]), 6);
    assert_eq!(content(&directory.path().join("origin")), before, "neither of them changes anything");

    check_refused(&import(&directory, &lines, "copy"), "whole exports only");
    let mut hidden = lines.clone();
    hidden[0] = whole[0].clone();
    check_refused(&import(&directory, &hidden, "copy"), "line 5 of the export is no commit");
    assert!(!directory.path().join("copy").exists());
}

#[test]
fn damage_that_took_no_event_leaves_a_whole_export() {
    let directory = Directory::new();
    let whole = exported(&directory);
    let path = directory.path().join("origin/0000000001.segment");
    let mut bytes = std::fs::read(&path).expect("it is readable");
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).expect("it can be written");
    check_code(&run(&directory, ["events", "export", "--data", "origin"]), 6);
    let exported = export_what_is_whole(&directory, "origin");
    check_code(&exported, 6);
    assert!(stderr(&exported).contains("header is damaged"), "{}", stderr(&exported));
    assert_eq!(stdout(&exported), whole.concat());
    let lines: Vec<String> = stdout(&exported).split_inclusive('\n').map(str::to_owned).collect();
    check_code(&import(&directory, &lines, "copy"), 0);
}

#[test]
fn a_directory_that_may_only_be_read_is_verified_and_exported() {
    let directory = Directory::new();
    let whole = exported(&directory);
    let data = directory.path().join("origin");
    std::fs::remove_file(data.join("lock")).expect("it is there");
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("its mode can be set");
    content(&data).keys().for_each(|name| mode(&data.join(name), 0o400));
    mode(&data, 0o500);
    let before = content(&data);
    assert_eq!(export(&directory, "origin"), whole);
    check_code(&run(&directory, ["verify", "--data", "origin"]), 0);
    assert_eq!(content(&data), before);
    mode(&data, 0o700);
}
