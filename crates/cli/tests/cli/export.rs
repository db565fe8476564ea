//! Exports that were changed, and directories that hold something else: an import refuses them and changes nothing.

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

/// A header, the commit that places the shop's consumer, and five more, each of another cart.
fn exported(directory: &Directory) -> Vec<String> {
    let shop = Shop::start(directory, &["--empty", "--data", "origin"]);
    ["a", "b", "c", "d", "e"].iter().for_each(|cart| add(directory, &shop, cart));
    stop(shop);
    let lines = export(directory, "origin");
    assert_eq!(lines.len(), 7);
    lines
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
    for order in
        [vec![0, 1, 2, 4, 5, 6], vec![0, 1, 2, 2, 4, 5, 6], vec![0, 1, 2, 4, 3, 5, 6], vec![0, 1, 2, 3, 4, 5, 6, 6], vec![0, 2, 3, 4, 5, 6]]
    {
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
    lines[3] = lines[2].replace("\"position\":2", "\"position\":3");
    assert_ne!(lines[3], lines[2]);
    check_refused(&import(&directory, &lines, "copy"), "line 4 of the export was refused");
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
    assert_eq!((&counts["commits"], &counts["events"], &counts["skipped"]), (&0.into(), &0.into(), &6.into()));
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
    check_refused(&import(&directory, &older, "origin"), "has 8 events and the export 6");
    assert_eq!(export(&directory, "copy")[1..], older[1..]);

    let shop = Shop::start(&directory, &["--empty", "--data", "copy"]);
    add(&directory, &shop, "h");
    stop(shop);
    let grown = export(&directory, "copy");
    check_refused(&import(&directory, &older, "copy"), "has 7 events and the export 6");
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
