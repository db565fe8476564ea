//! Plays scripts over several keep-alive connections: the commands of one entity in order, entities beside each other.
//!
//! Sending a command again under its key is always safe, so whatever has no answer is sent again. When the shop has events
//! already, a script whose last command took effect is passed over, and any other is sent whole: its first commands are
//! then answered from what the shop remembers.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gateway::client::{ClientError, Connection, Response};
use headwater::client::{command_headers, connection, failed, refused, segment};
use headwater::command_line::progress_bar;
use headwater::{Exit, Failure, output};
use http::{HeaderMap, Method};
use indicatif::ProgressBar;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;
use tokio::time::{Interval, interval};

use super::reading;
use super::script::{Script, ScriptCommand};

/// How often one command is sent before the play gives up.
const ATTEMPTS_MAX: u32 = 20;
/// How long it waits before it sends a command again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

type Scripts = Arc<Mutex<Box<dyn Iterator<Item = Script> + Send>>>;

/// Something to play.
pub(super) struct Play {
    scripts: Scripts,
    commands: u64,
    pace: Option<Pace>,
}

/// Whose turn it is to send, for all players together.
type Pace = Arc<tokio::sync::Mutex<Interval>>;

/// What became of the commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Played {
    accepted: u64,
    replayed: u64,
    rejected: u64,
    passed_over: u64,
}

impl Played {
    pub(super) fn to_json(self) -> Json {
        json!({ "accepted": self.accepted, "replayed": self.replayed, "rejected": self.rejected, "passed_over": self.passed_over })
    }

    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.replayed += other.replayed;
        self.rejected += other.rejected;
        self.passed_over += other.passed_over;
    }
}

impl fmt::Display for Played {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} commands", self.accepted + self.replayed + self.rejected)?;
        for (count, what) in
            [(self.passed_over, "were there already"), (self.replayed, "were answered again"), (self.rejected, "were rejected")]
        {
            if count > 0 {
                write!(formatter, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

impl Play {
    /// Scripts with `commands` commands in all.
    pub(super) fn new(scripts: impl Iterator<Item = Script> + Send + 'static, commands: u64) -> Self {
        Self { scripts: Arc::new(Mutex::new(Box::new(scripts))), commands, pace: None }
    }

    /// Plays at most so many commands a second.
    pub(super) fn at_most(mut self, rate: Option<u32>) -> Self {
        self.pace = rate.map(|rate| Arc::new(tokio::sync::Mutex::new(interval(Duration::from_secs(1) / rate))));
        self
    }

    /// Plays everything, through these nodes.
    pub(super) async fn run(self, urls: &[String], connections: u16, shows_progress: bool) -> Result<Played, Failure> {
        let resumes = !reading::is_empty(&reading::reachable(urls).await?).await?;
        let urls: Arc<[String]> = urls.into();
        let bar = if shows_progress {
            progress_bar("playing {pos} of {len} commands [{bar:30}] {rate}, {eta} left")
        } else {
            ProgressBar::hidden()
        };
        bar.set_length(self.commands);
        if shows_progress && bar.is_hidden() {
            output::talk(format!("playing {} commands", self.commands));
        }
        let mut players = JoinSet::new();
        for number in 0..usize::from(connections) {
            let (urls, at) = (Arc::clone(&urls), number % urls.len());
            let connection = connection(&urls[at])?;
            let player = Player { urls, at, connection, resumes, pace: self.pace.clone(), bar: bar.clone(), played: Played::default() };
            players.spawn(player.run(Arc::clone(&self.scripts)));
        }
        let mut played = Played::default();
        while let Some(ended) = players.join_next().await {
            let ended = ended.map_err(|_| Failure::plain(Exit::Failed, "a player panicked; its message stands above"))?;
            played.add(ended?);
        }
        bar.finish_and_clear();
        Ok(played)
    }
}

/// One connection.
struct Player {
    urls: Arc<[String]>,
    /// Which of them it sends to.
    at: usize,
    connection: Connection,
    resumes: bool,
    pace: Option<Pace>,
    bar: ProgressBar,
    played: Played,
}

impl Player {
    async fn run(mut self, scripts: Scripts) -> Result<Played, Failure> {
        loop {
            let next = scripts.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(script) = next else { return Ok(self.played) };
            self.script(&script).await?;
        }
    }

    async fn script(&mut self, script: &Script) -> Result<(), Failure> {
        if self.resumes && self.is_done(script).await? {
            self.played.passed_over += script.commands.len() as u64;
            self.bar.inc(script.commands.len() as u64);
            return Ok(());
        }
        for command in &script.commands {
            if let Some(pace) = &self.pace {
                pace.lock().await.tick().await;
            }
            self.command(script, command).await?;
            self.bar.inc(1);
        }
        Ok(())
    }

    /// Whether the last command took effect; those before it were answered first.
    async fn is_done(&mut self, script: &Script) -> Result<bool, Failure> {
        let Some(last) = script.commands.last() else { return Ok(true) };
        let path = format!("/v1/entities/{}/{}/commands/{}", script.kind, segment(&script.id), segment(&last.key));
        let mut answer = self.connection.request(Method::GET, &path, HeaderMap::new(), Bytes::new()).await;
        for _ in 1..self.urls.len() {
            if answer.is_err() {
                self.leave()?;
                answer = self.connection.request(Method::GET, &path, HeaderMap::new(), Bytes::new()).await;
            }
        }
        let response = answer.map_err(|error| failed(self.url(), &error))?;
        if response.status.is_success() {
            return Ok(true);
        }
        let failure = refused(&response.body);
        if failure.exit() == Exit::NotFound { Ok(false) } else { Err(failure) }
    }

    async fn command(&mut self, script: &Script, command: &ScriptCommand) -> Result<(), Failure> {
        let path = format!("/v1/entities/{}/{}/{}", script.kind, segment(&script.id), command.name);
        let headers = command_headers(Some(&command.key))?;
        for attempt in 1.. {
            let answer = self.connection.request(Method::POST, &path, headers.clone(), command.body.clone()).await;
            match self.judge(answer) {
                Ok(()) => return Ok(()),
                Err(failure) if attempt == ATTEMPTS_MAX || !self.may_try_again(&failure) => return Err(failure),
                Err(_) => {
                    self.leave()?;
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
        Ok(())
    }

    /// Where there are several nodes, another one may take what this one does not.
    fn may_try_again(&self, failure: &Failure) -> bool {
        failure.exit() == Exit::Unknown || (self.urls.len() > 1 && failure.exit() == Exit::Failed)
    }

    /// Goes on with the next node.
    fn leave(&mut self) -> Result<(), Failure> {
        self.at = (self.at + 1) % self.urls.len();
        self.connection = connection(self.url())?;
        Ok(())
    }

    fn url(&self) -> &str {
        &self.urls[self.at]
    }

    fn judge(&mut self, answer: Result<Response, ClientError>) -> Result<(), Failure> {
        let response = answer.map_err(|error| failed(self.url(), &error))?;
        if response.status.is_success() {
            let counter =
                if response.headers.contains_key("idempotent-replayed") { &mut self.played.replayed } else { &mut self.played.accepted };
            *counter += 1;
            return Ok(());
        }
        let failure = refused(&response.body);
        if failure.exit() != Exit::Rejected {
            return Err(failure);
        }
        self.played.rejected += 1;
        Ok(())
    }
}
