//! The shop on PostgreSQL: one variable, and nothing else is different.

use serde_json::Value as Json;

use super::process::{Directory, Shop, check_code, headwater, json_lines, run, stderr, stdout};

/// A schema of the test's own in the server that `cargo xtask test` has started.
pub(crate) fn engine(name: &str) -> String {
    let server = std::env::var("HEADWATER_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!("no PostgreSQL to test on: run `cargo xtask test`, which starts one, or name one in HEADWATER_TEST_POSTGRES")
    });
    format!("{server}?service=cli-{name}-{}", std::process::id())
}

/// The day, played to its end; its last line.
pub(crate) fn play(directory: &Directory, engine: Option<&str>) -> Json {
    let mut command = headwater(directory);
    if let Some(engine) = engine {
        command.env("HEADWATER_ENGINE", engine);
    }
    let output = command.args(["demo", "--alone", "--exit", "--json", "--listen", "127.0.0.1:0"]).output().expect("the binary runs");
    check_code(&output, 0);
    json_lines(&stdout(&output)).pop().expect("the last line has the totals")
}

#[test]
fn a_day_on_postgresql_that_was_killed_comes_to_what_it_comes_to_in_a_directory() {
    let (plain, directory, engine) = (Directory::new(), Directory::new(), engine("day"));
    let expected = play(&plain, None)["totals"].clone();
    for pause_ms in [150, 400] {
        let mut shop = Shop::start_on(&directory, &engine, &["--exit"]);
        std::thread::sleep(std::time::Duration::from_millis(pause_ms));
        shop.kill();
    }
    assert_eq!(play(&directory, Some(&engine))["totals"], expected);
    // Another machine has no files of the first one.
    let elsewhere = Directory::new();
    let again = play(&elsewhere, Some(&engine));
    assert_eq!((&again["played"]["accepted"], &again["totals"]), (&0.into(), &expected));
}

#[test]
fn a_second_process_is_refused_where_keys_of_subjects_lie_on_the_first_ones_disk() {
    let (directory, other, engine) = (Directory::new(), Directory::new(), engine("alone"));
    for one in [&directory, &other] {
        std::fs::create_dir(one.path().join("data.keys")).expect("the directory can be made");
    }
    let mut shop = Shop::start_on(&directory, &engine, &[]);
    let second = headwater(&other).env("HEADWATER_ENGINE", &engine).args(["demo", "--alone", "--exit", "--listen", "127.0.0.1:0"]).output();
    let second = second.expect("the binary runs");
    check_code(&second, 1);
    assert!(stderr(&second).contains("HW0065"), "{}", stderr(&second));
    shop.kill();
    play(&directory, Some(&engine));
}

#[test]
fn a_database_that_is_not_there_and_a_url_that_is_none_are_told_apart() {
    let directory = Directory::new();
    for (engine, code, exit) in
        [("postgres://nobody:secret@127.0.0.1:1/db", "HW0150", 1), ("postgres://db/shop?sslmode=maybe", "HW0068", 78)]
    {
        let output = run(&directory, ["demo", "--alone", "--exit", "--listen", "127.0.0.1:0", "--engine", engine]);
        check_code(&output, exit);
        let told = stderr(&output);
        assert!(told.contains(code) && !told.contains("secret"), "{told}");
    }
}
