//! Accounts: money that is neither made nor lost.

use component::{Command, CommandContext, Decision, Entity, Event, Rejection, State, record};

use super::Simulation;
use crate::StateRead;
use crate::request::Moment;
use journal::EntityKey;

/// An account.
#[derive(Default, State)]
pub(super) struct Account {
    pub(super) cents: i64,
    pub(super) movements: u32,
}

/// What is done with it.
#[derive(Clone, Command)]
pub(super) enum AccountCommand {
    /// Puts money in.
    #[command("deposit")]
    Deposit { cents: i64 },
    /// Takes money out, if there is enough.
    #[command("withdraw")]
    Withdraw { cents: i64 },
}

/// What happened to it.
#[derive(Event)]
pub(super) enum AccountEvent {
    #[event("moved")]
    Moved { cents: i64 },
}

/// Why it says no.
#[derive(Debug, PartialEq, Rejection)]
pub(super) enum AccountRejection {
    #[rejection("not-enough", "there is not enough on it")]
    NotEnough { has: i64 },
}

impl Entity for Account {
    const NAME: &'static str = "account";
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Reply = i64;
    type Rejection = AccountRejection;

    fn decide(&self, command: AccountCommand, _: &CommandContext) -> Result<Decision<AccountEvent, i64>, AccountRejection> {
        match command {
            AccountCommand::Deposit { cents } => Ok(record(AccountEvent::Moved { cents }).reply(self.cents + cents)),
            AccountCommand::Withdraw { cents } if cents > self.cents => Err(AccountRejection::NotEnough { has: self.cents }),
            AccountCommand::Withdraw { cents } => Ok(record(AccountEvent::Moved { cents: -cents }).reply(self.cents - cents)),
        }
    }

    fn evolve(&mut self, event: &AccountEvent) {
        let AccountEvent::Moved { cents } = event;
        self.cents += cents;
        self.movements += 1;
    }
}

/// What is on an account, and how often it was moved.
pub(super) fn account(bank: &Simulation, id: &str) -> (i64, u64) {
    let key = EntityKey::new("account", id).unwrap();
    let read: Option<StateRead> = bank.ask(|runtime| {
        let key = key.clone();
        Box::pin(async move { runtime.state(&key, Moment::Now, false).await.unwrap() })
    });
    let Some(read) = read else { return (0, 0) };
    let state: serde_json::Value = serde_json::from_slice(&read.state).unwrap();
    (state["cents"].as_i64().unwrap(), state["movements"].as_u64().unwrap())
}

pub(super) fn deposit(bank: &Simulation, id: &str, cents: i64) {
    let entity = EntityKey::new("account", id).unwrap();
    bank.ask(|runtime| {
        let request = crate::CommandRequest {
            entity: entity.clone(),
            command: "deposit".to_owned(),
            body: format!("{{\"cents\":{cents}}}").into(),
            id: Some("first".to_owned()),
            expect: crate::Expectation::Any,
            context: journal::Context::default(),
        };
        Box::pin(async move { runtime.command(request).await })
    })
    .unwrap();
}
