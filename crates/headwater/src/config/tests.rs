//! Which source wins, and what is refused.

use std::ffi::OsString;
use std::path::Path;

use super::value::Config;
use super::{Flags, Settings, file, load};
use crate::failure::Failure;

fn resolve(flags: &[(&'static str, &str)], environment: &[(&str, &str)], file_text: &str) -> Result<Settings, Failure> {
    let flags = Flags { file: None, values: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(), ..Flags::default() };
    let lookup = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
    let file = file::parse(Path::new("headwater.toml"), file_text)?;
    let settings = Settings::resolve(&flags, &lookup, &file)?;
    settings.check()?;
    Ok(settings)
}

#[track_caller]
fn check(settings: &Settings, name: &str, value: &str, source: &str) {
    let found = settings.get(name).expect("the setting has a value");
    assert_eq!((found.value.as_str(), found.source.to_string().as_str()), (value, source));
}

#[track_caller]
fn check_refused(outcome: Result<impl Sized, Failure>, code: &str, part: &str) {
    let failure = outcome.err().expect("the configuration is refused");
    assert_eq!(failure.code(), Some(code));
    assert!(failure.message().contains(part), "{failure}");
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let file = "listen = \"127.0.0.1:1\"\ndrain_seconds = 3\nconnections_max = 7";
    let environment = [("HEADWATER_LISTEN", "127.0.0.1:2"), ("HEADWATER_DRAIN_SECONDS", "4")];
    let settings = resolve(&[("listen", "127.0.0.1:3")], &environment, file).expect("it fits");
    check(&settings, "listen", "127.0.0.1:3", "flag --listen");
    check(&settings, "drain_seconds", "4", "environment HEADWATER_DRAIN_SECONDS");
    check(&settings, "connections_max", "7", "file headwater.toml");
    check(&settings, "body_bytes_max", "1048576", "default");
}

#[test]
fn the_url_follows_from_the_listen_address_unless_it_is_given() {
    let settings = resolve(&[("listen", "0.0.0.0:9")], &[], "").expect("it fits");
    check(&settings, "url", "http://127.0.0.1:9", "follows from listen");
    let settings = resolve(&[], &[("HEADWATER_URL", "http://shop:7430")], "").expect("it fits");
    check(&settings, "url", "http://shop:7430", "environment HEADWATER_URL");
}

#[test]
fn data_is_short_for_an_embedded_engine_and_the_stronger_source_wins() {
    let settings = resolve(&[("data", "here")], &[], "engine = \"embedded:there\"").expect("it fits");
    check(&settings, "engine", "embedded:here", "follows from data");
    let settings = resolve(&[("engine", "embedded:there")], &[], "data = \"here\"").expect("it fits");
    check(&settings, "engine", "embedded:there", "flag --engine");
    assert!(settings.get("data").is_none());
}

#[test]
fn data_and_engine_from_one_source_are_refused() {
    check_refused(resolve(&[], &[], "data = \"a\"\nengine = \"embedded:b\""), "HW0062", "keep one of them");
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest_one() {
    check_refused(resolve(&[], &[], "lisen = \"x\""), "HW0060", "did you mean `listen`?");
    check_refused(resolve(&[], &[], "insecure = true"), "HW0060", "only --insecure or HEADWATER_INSECURE may");
}

#[test]
fn a_value_that_does_not_fit_is_refused_with_its_source() {
    check_refused(resolve(&[], &[("HEADWATER_DRAIN_SECONDS", "soon")], ""), "HW0062", "environment HEADWATER_DRAIN_SECONDS");
    check_refused(resolve(&[], &[], "connections_max = [1]"), "HW0062", "array");
    check_refused(resolve(&[], &[], "connections_max = 0"), "HW0062", "from 1 on");
}

#[test]
fn a_file_that_is_not_toml_is_refused() {
    check_refused(resolve(&[], &[], "listen = "), "HW0061", "not TOML");
}

#[test]
fn beyond_loopback_needs_the_word_insecure() {
    let open = resolve(&[("listen", "0.0.0.0:7430")], &[], "").expect("it fits");
    check_refused(Config::for_server(&open), "HW0064", "--insecure");
    let meant = resolve(&[("listen", "0.0.0.0:7430"), ("insecure", "true")], &[], "").expect("it fits");
    assert!(Config::for_server(&meant).is_ok());
}

#[test]
fn another_engine_is_refused_by_name() {
    for engine in ["mysql://host/db", "data", ":data"] {
        check_refused(resolve(&[("engine", engine)], &[], ""), "HW0068", &format!("engine `{engine}`: there is no such engine"));
    }
    check_refused(resolve(&[("engine", "embedded:")], &[], ""), "HW0068", "the directory is missing");
    check_refused(resolve(&[("data", "")], &[], ""), "HW0068", "the directory is missing");
}

#[cfg(feature = "postgres")]
#[test]
fn beside_a_database_the_directory_is_the_process_s_own() {
    let engine = "postgres://shop:secret@db/shop?sslmode=disable";
    let settings = resolve(&[("data", "here")], &[("HEADWATER_ENGINE", engine)], "").expect("it fits");
    check(&settings, "engine", engine, "environment HEADWATER_ENGINE");
    check(&settings, "keys", "here.keys", "follows from engine");
    let shown = settings.get("engine").expect("it has a value").shown();
    assert_eq!(shown, "postgres://shop:***@db/shop?sslmode=disable");
    let config = Config::for_server(&settings).expect("it fits");
    assert_eq!((config.data.to_str(), config.engine), (Some("here"), super::EngineUrl::Postgres(engine.to_owned())));
    check_refused(super::data_directory(&settings), "HW0068", "a database has none");
    let alone = resolve(&[("engine", "postgres://db/shop")], &[], "").expect("it fits");
    check(&alone, "keys", "./data.keys", "follows from engine");
}

#[cfg(not(feature = "postgres"))]
#[test]
fn a_build_without_postgresql_says_which_feature_has_it() {
    check_refused(resolve(&[("engine", "postgres://u:p@db/shop")], &[], ""), "HW0068", "the feature `postgres`");
}

#[test]
fn what_a_start_refuses_is_refused_when_it_is_loaded() {
    check_refused(resolve(&[], &[("HEADWATER_LISTEN", "x")], ""), "HW0062", "listen is `x` (environment HEADWATER_LISTEN)");
    check_refused(resolve(&[], &[("HEADWATER_ENGINE", "mysql://x")], ""), "HW0068", "mysql://x");
    check_refused(resolve(&[], &[("HEADWATER_URL", "foo")], ""), "HW0062", "url is `foo` (environment HEADWATER_URL)");
    check_refused(resolve(&[("url", "https://shop")], &[], ""), "HW0062", "not https");
}

#[test]
fn an_empty_variable_is_refused_by_name_unless_a_flag_wins() {
    let empty = [("HEADWATER_CONNECTIONS_MAX", "")];
    check_refused(resolve(&[], &empty, ""), "HW0062", "HEADWATER_CONNECTIONS_MAX in the environment is empty");
    let settings = resolve(&[("connections_max", "7")], &empty, "").expect("the flag wins");
    check(&settings, "connections_max", "7", "flag --connections-max");
    let no_file = |name: &str| (name == "HEADWATER_CONFIG").then(OsString::new);
    check_refused(load(&Flags::default(), &no_file), "HW0062", "HEADWATER_CONFIG in the environment is empty");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_refused_by_name() {
    use std::os::unix::ffi::OsStringExt as _;

    let lookup = |name: &str| (name == "HEADWATER_DATA").then(|| OsString::from_vec(vec![b'd', 0xFF]));
    let refused = load(&Flags::default(), &lookup);
    check_refused(refused, "HW0062", "HEADWATER_DATA in the environment is not UTF-8");
}
