//! `migrate`: a journal to another engine.

use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

use super::verify::progress_bar;
use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::migrate::{Counts, Migrated, Place, Progress, Work};
use crate::output;
#[cfg(feature = "postgres")]
use crate::threads;

/// From where to where.
#[derive(Args)]
pub struct Arguments {
    /// Where the journal is: embedded:DIR or postgres://HOST/DATABASE
    #[arg(long, value_name = "URL")]
    from: String,
    /// Where it goes, likewise; nothing may be there [default: the engine of the configuration]
    #[arg(long, value_name = "URL")]
    to: Option<String>,
}

pub(super) fn run(arguments: &Arguments, service: &str, settings: &Settings, as_json: bool) -> Result<Exit, Failure> {
    let configured = || settings.get("engine").map(|engine| engine.value.clone()).unwrap_or_default();
    let to = arguments.to.clone().unwrap_or_else(configured);
    let (from, to) = (Place::of(&arguments.from, "--from")?, Place::of(&to, "--to")?);
    let bar = Bar::new();
    let migrated = migrate(&from, &to, service, &bar);
    bar.0.finish_and_clear();
    tell(&migrated?, as_json)?;
    Ok(Exit::Done)
}

#[cfg(feature = "postgres")]
fn migrate(from: &Place, to: &Place, service: &str, bar: &Bar) -> Result<Migrated, Failure> {
    use crate::migrate::{to_database, to_directory};
    match (from, to) {
        (Place::Directory(from), Place::Database(to)) => threads::call(to_database(from, to, service, bar)),
        (Place::Database(from), Place::Directory(to)) => threads::call(to_directory(from, to, service, bar)),
        (Place::Directory(_), Place::Directory(_)) => {
            Err(Failure::plain(Exit::Usage, "from a directory into a directory leads a backup and its restore"))
        }
        (Place::Database(_), Place::Database(_)) => {
            Err(Failure::plain(Exit::Usage, "from a database into a database lead its own tools, or a directory in between"))
        }
    }
}

#[cfg(not(feature = "postgres"))]
fn migrate(_: &Place, _: &Place, _: &str, _: &Bar) -> Result<Migrated, Failure> {
    use crate::failure::ENGINE;
    Err(Failure::configuration(ENGINE, "this build leaves PostgreSQL out; build it with the feature `postgres`"))
}

fn tell(migrated: &Migrated, as_json: bool) -> Result<(), Failure> {
    let Migrated { counts: Counts { commits, commands, events, gone }, registers, fork, lineage, root, were_there } = migrated;
    if as_json {
        return output::json(&json!({
            "commits": commits, "commands": commands, "events": events, "gone": gone, "registers": registers, "were_there": were_there,
            "fork": fork.to_string(), "lineage": lineage.to_string(), "root": root.to_string(),
        }));
    }
    if *were_there > 0 {
        output::talk(format!("an earlier run had moved the first {were_there} of them"));
    }
    if *gone > 0 {
        output::talk(format!("what remains of {gone} events that retention has let go of came along"));
    }
    output::talk("keys of subjects stay in their key store; the old journal was not changed, start no service on it any more");
    output::data(format!(
        "moved {events} events in {commits} commits and {registers} registers; what is there was read back and has the root of the source, \
         {root}; a history of its own from cursor {fork} on"
    ))
}

/// A bar for each part of the work, when a person watches.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        Self(progress_bar("{msg}: event {pos} of {len} [{bar:30}] {rate}"))
    }
}

impl Progress for Bar {
    fn begin(&self, work: Work, events: u64) {
        let word = match work {
            Work::Check => "checking the source",
            Work::Move => "moving",
            Work::Compare => "comparing",
        };
        self.0.reset();
        self.0.set_message(word);
        self.0.set_length(events);
    }

    fn at(&self, position: u64) {
        self.0.set_position(position);
    }
}
