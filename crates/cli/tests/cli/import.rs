//! Imports and exports that are ended early and go on: real processes, killed, beside a witness that knows every line.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use journal::{Cursor, LineageId};
use serde_json::Value as Json;

use super::process::{Directory, Shop, check_code, headwater, json_lines, run, stderr, stdout};

const COMMITS: u64 = 40_000;

/// A whole export of a real shop.
fn exported(directory: &Directory) -> Vec<String> {
    let mut shop = Shop::start(directory, &["--empty", "--data", "origin"]);
    for cart in ["a", "b", "c"] {
        check_code(&run(directory, ["send", "cart", cart, "add-item", r#"{"sku":"mug","quantity":1}"#, "--url", &shop.url]), 0);
    }
    shop.signal("INT");
    assert_eq!(shop.ended(), Some(0));
    lines(&run(directory, ["events", "export", "--data", "origin"]))
}

fn lines(output: &Output) -> Vec<String> {
    check_code(output, 0);
    stdout(output).split_inclusive('\n').map(str::to_owned).collect()
}

/// The same history, but for a very long time: each commit is of another cart.
fn long(whole: &[String]) -> Vec<String> {
    let (mut header, model): (Json, Json) = (parsed(&whole[0]), parsed(&whole[2]));
    let lineage = header["lineage"].as_str().map(|hex| u128::from_str_radix(hex, 16).unwrap().to_be_bytes()).unwrap();
    header["head"] = Cursor::from_parts(LineageId(lineage), COMMITS).to_string().into();
    let commit = |at: u64| {
        let mut commit = model.clone();
        commit["position"] = at.into();
        commit["commit"] = format!("01890000-0000-7000-8000-{at:012x}").into();
        commit["commands"][0]["id"] = format!("cart-{at}").into();
        commit["commands"][0]["command_id"] = format!("{at:032x}").into();
        format!("{commit}\n")
    };
    std::iter::once(format!("{header}\n")).chain((1..=COMMITS).map(commit)).collect()
}

fn parsed(line: &str) -> Json {
    serde_json::from_str(line).unwrap()
}

fn import(directory: &Directory, data: &str) -> Output {
    run(directory, ["events", "import", "import.ndjson", "--json", "--data", data])
}

/// Refuses to serve, and says what to do.
fn check_not_served(directory: &Directory, data: &str, remedy: &str) {
    let refused = run(directory, ["demo", "--empty", "--listen", "127.0.0.1:0", "--data", data]);
    check_code(&refused, 1);
    assert!(stderr(&refused).contains("HW0066") && stderr(&refused).contains(remedy), "{}", stderr(&refused));
}

#[test]
fn an_import_that_is_killed_goes_on_where_it_was_and_nobody_serves_half_of_it() {
    let directory = Directory::new();
    let whole = long(&exported(&directory));
    std::fs::write(directory.path().join("import.ndjson"), whole.concat()).unwrap();
    let (mut kills, mut wait) = (0, Duration::from_millis(40));
    // Until a kill has left some commits behind: how fast the machine is does not matter.
    while left(&directory) == 0 {
        let mut child = headwater(&directory);
        child.args(["events", "import", "import.ndjson", "--data", "copy"]).stderr(Stdio::null());
        let mut child = child.spawn().unwrap();
        std::thread::sleep(wait);
        child.kill().unwrap();
        child.wait().unwrap();
        (kills, wait) = (kills + 1, wait * 2);
        assert!(!directory.path().join("copy").exists(), "it came to its end before the kill: make the export longer");
    }
    check_not_served(&directory, "copy", "run the import again with the same file");
    check_not_served(&directory, "copy.importing", "run it again");
    assert!(!directory.path().join("copy").exists(), "who was refused has left nothing");

    // Somebody else's line where it has got to already.
    let mut other = whole.clone();
    other[1] = other[1].replace("mug", "cup");
    std::fs::write(directory.path().join("other.ndjson"), other.concat()).unwrap();
    let refused = run(&directory, ["events", "import", "other.ndjson", "--data", "copy"]);
    check_code(&refused, 1);
    assert!(stderr(&refused).contains("another commit than line 2 of the export"), "{}", stderr(&refused));

    let before = left(&directory);
    let imported = import(&directory, "copy");
    check_code(&imported, 0);
    assert!(stderr(&imported).contains("it goes on behind them"), "{}", stderr(&imported));
    let counts = &json_lines(&stdout(&imported))[0];
    let (new, there) = (counts["commits"].as_u64().unwrap(), counts["skipped"].as_u64().unwrap());
    assert!(there >= before && there > 0, "{counts}");
    assert_eq!(new + there, COMMITS, "{counts}");
    let copy = lines(&run(&directory, ["events", "export", "--data", "copy"]));
    assert!(copy[1..] == whole[1..], "every line is there, once, in its place");
    assert!(!directory.path().join("copy.importing").exists() && !directory.path().join("copy/unfinished").exists());
    check_code(&run(&directory, ["verify", "--data", "copy"]), 0);
    eprintln!("{kills} kills; {there} of {COMMITS} commits were there");
}

/// How many commits an import has left.
fn left(directory: &Directory) -> u64 {
    if !directory.path().join("copy.importing/lineage.json").exists() {
        return 0;
    }
    let exported = run(directory, ["events", "export", "--data", "copy.importing"]);
    (stdout(&exported).lines().count() as u64).saturating_sub(1)
}

#[test]
fn an_import_that_is_cut_short_in_its_file_goes_on_with_the_whole_one() {
    let directory = Directory::new();
    let whole = exported(&directory);
    let file = directory.path().join("import.ndjson");
    std::fs::write(&file, &whole.concat()[..whole[..3].concat().len() + 20]).unwrap();
    check_code(&import(&directory, "copy"), 1);
    std::fs::write(&file, whole.concat()).unwrap();
    let imported = import(&directory, "copy");
    check_code(&imported, 0);
    let counts = &json_lines(&stdout(&imported))[0];
    assert_eq!((&counts["commits"], &counts["skipped"]), (&(whole.len() as u64 - 3).into(), &2.into()), "{counts}");
    assert_eq!(lines(&run(&directory, ["events", "export", "--data", "copy"]))[1..], whole[1..]);
}

#[test]
fn what_is_left_of_another_export_is_removed_and_said() {
    let directory = Directory::new();
    let whole = exported(&directory);
    let file = directory.path().join("import.ndjson");
    std::fs::write(&file, whole[..3].concat()).unwrap();
    check_code(&import(&directory, "copy"), 1);
    std::fs::write(&file, long(&whole).concat()).unwrap();
    let imported = import(&directory, "copy");
    check_code(&imported, 0);
    assert!(stderr(&imported).contains("left of another export; it is removed"), "{}", stderr(&imported));
    assert_eq!(json_lines(&stdout(&imported))[0]["commits"], COMMITS);
}

#[test]
fn an_export_that_was_cut_anywhere_goes_on_and_comes_to_the_same_file() {
    let directory = Directory::new();
    let whole = exported(&directory).concat();
    let file = directory.path().join("out.ndjson");
    let resume = || run(&directory, ["events", "export", "out.ndjson", "--resume", "--data", "origin"]);
    for cut in (0..=whole.len()).step_by(97).chain([whole.len()]) {
        std::fs::write(&file, &whole[..cut]).unwrap();
        check_code(&resume(), 0);
        assert!(std::fs::read_to_string(&file).unwrap() == whole, "cut at byte {cut}");
    }
    for (from, to) in [("mug", "cup"), ("\"version\":1", "\"version\":2")] {
        let changed = whole.trim_end().rsplit_once(from).map(|(head, tail)| format!("{head}{to}{tail}\n")).unwrap();
        let changed = if from == "mug" { changed } else { whole.replacen(from, to, 1) };
        std::fs::write(&file, &changed).unwrap();
        check_code(&resume(), 1);
        assert!(std::fs::read_to_string(&file).unwrap() == changed, "it is left as it is");
    }
    check_code(&run(&directory, ["events", "export", "--resume", "--data", "origin"]), 2);
    let absent = run(
        &directory,
        [
            Path::new("events"),
            Path::new("export"),
            Path::new("none.ndjson"),
            Path::new("--resume"),
            Path::new("--data"),
            Path::new("origin"),
        ],
    );
    check_code(&absent, 1);
}
