//! Which source wins, and what is refused.

use std::path::Path;

use super::value::Config;
use super::{Flags, Settings, file};
use crate::failure::Failure;

fn resolve(flags: &[(&'static str, &str)], environment: &[(&str, &str)], file_text: &str) -> Result<Settings, Failure> {
    let flags = Flags { file: None, values: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect() };
    let lookup = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let file = file::parse(Path::new("headwater.toml"), file_text)?;
    let settings = Settings::resolve(&flags, &lookup, &file);
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
    let settings = resolve(&[("engine", "postgres://host/db")], &[], "").expect("it fits");
    check_refused(Config::for_server(&settings), "HW0068", "postgres://host/db");
}
