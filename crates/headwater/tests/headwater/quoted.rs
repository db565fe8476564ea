//! Causes that quote what a run was shown besides its event: the values of others, in replies and rejections of its commands.
//!
//! The service has no view, so that no file may have a canary at any time.

use headwater::prelude::*;
use serde_json::{Value as Json, json};

use crate::personal::{House, asked, got, has_canary, until};

#[derive(Debug, Default, PartialEq, State)]
struct Resident {
    name: Personal<String>,
}

#[derive(Command)]
enum ResidentCommand {
    #[command("move-in")]
    MoveIn { name: Personal<String> },
    #[command("open")]
    Open,
    #[command("greet")]
    Greet,
    #[command("leave")]
    Leave,
}

#[derive(Debug, PartialEq, Event)]
enum ResidentEvent {
    #[event("moved-in")]
    MovedIn { name: Personal<String> },
    #[event("greeted")]
    Greeted,
}

#[derive(Debug, PartialEq, Rejection)]
enum ResidentRejection {
    #[rejection("asleep", "nobody leaves at night")]
    Asleep { name: Personal<String> },
}

impl Entity for Resident {
    const NAME: &'static str = "resident";
    type Command = ResidentCommand;
    type Event = ResidentEvent;
    type Reply = Personal<String>;
    type Rejection = ResidentRejection;

    fn decide(&self, command: ResidentCommand, _: &CommandContext) -> Result<Decision<ResidentEvent, Personal<String>>, ResidentRejection> {
        match command {
            ResidentCommand::MoveIn { name } => Ok(record(ResidentEvent::MovedIn { name }).reply(Personal::erased())),
            ResidentCommand::Open => Ok(nothing().reply(self.name.clone())),
            ResidentCommand::Greet => Ok(record(ResidentEvent::Greeted).reply(self.name.clone())),
            ResidentCommand::Leave => Err(ResidentRejection::Asleep { name: self.name.clone() }),
        }
    }

    fn evolve(&mut self, event: &ResidentEvent) {
        if let ResidentEvent::MovedIn { name } = event {
            self.name = name.clone();
        }
    }
}

/// An operation whose reply is made anew: nobody can tell whose it is.
struct Doorplate;

#[derive(Value)]
struct At {
    house: String,
}

impl Operation for Doorplate {
    const NAME: &'static str = "doorplate";
    type Input = At;
    type Reply = Personal<String>;
    type Rejection = std::convert::Infallible;

    fn entities(input: &At) -> Vec<EntityRef> {
        vec![EntityRef::of::<Resident>(&input.house)]
    }

    fn decide(input: At, entities: &mut Entities<'_>, _: &CommandContext) -> Result<Personal<String>, Self::Rejection> {
        let name = entities.state::<Resident>(&input.house).name.get();
        Ok(name.map_or_else(Personal::erased, |name| Personal::new(format!("{name}, esq."))))
    }
}

#[derive(Debug, Default, PartialEq, State)]
struct Bell {}

#[derive(Command)]
enum BellCommand {
    #[command("ring")]
    Ring { houses: Vec<String>, how: String },
}

#[derive(Debug, PartialEq, Event)]
enum BellEvent {
    #[event("rung")]
    Rung { houses: Vec<String>, how: String },
}

impl Entity for Bell {
    const NAME: &'static str = "bell";
    type Command = BellCommand;
    type Event = BellEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: BellCommand, _: &CommandContext) -> Result<Decision<BellEvent>, Self::Rejection> {
        let BellCommand::Ring { houses, how } = command;
        Ok(record(BellEvent::Rung { houses, how }))
    }

    fn evolve(&mut self, _: &BellEvent) {}
}

/// Complains of whom it has met, by name. Its events have nothing personal.
struct Postman;

impl Action for Postman {
    const NAME: &'static str = "postman";
    const ENTITY: &'static str = "bell";
    type Event = BellEvent;

    async fn run(&self, event: Recorded<BellEvent>, ctx: &ActionContext) -> Result<(), ActionError> {
        let BellEvent::Rung { houses, how } = event.event;
        let mut met = Vec::new();
        for house in houses {
            let answer = match how.as_str() {
                "plate" => ctx.operation::<Doorplate>(At { house }).await?,
                "leave" => match ctx.command::<Resident>(house, ResidentCommand::Leave).await {
                    Err(CommandFailure::Rejected(ResidentRejection::Asleep { name })) => name,
                    answered => return Err(ActionError::park(format!("{answered:?}"))),
                },
                "greet" => ctx.command::<Resident>(house, ResidentCommand::Greet).await?,
                _ => ctx.command::<Resident>(house, ResidentCommand::Open).await?,
            };
            met.push(answer.into_inner().unwrap_or_default());
        }
        Err(ActionError::park(format!("{} would not sign", met.join(" and "))))
    }
}

fn service() -> Service {
    Service::new("street").entity::<Resident>().entity::<Bell>().operation::<Doorplate>().action(Postman)
}

async fn held(running: &headwater::Running) -> Vec<(String, String)> {
    let held = got(running, "/v1/admin/consumers/postman/held").await;
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    held["items"].as_array().into_iter().flatten().map(|item| (text(&item["id"]), text(&item["cause"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cause_that_quotes_a_reply_is_in_no_file_in_the_plain_and_gone_with_whom_it_quotes() {
    let house = House::new();
    let running = house.serve(service()).await;
    let people = ["ann", "bob", "cat", "dan", "eve"];
    for who in people {
        let name = Personal::new(format!("CANARY {who}"));
        running.client().send::<Resident>(who, ResidentCommand::MoveIn { name }).await.unwrap();
    }
    for (how, houses) in
        [("open", &people[..1]), ("greet", &people[..2]), ("leave", &people[..1]), ("plate", &people[..1]), ("all", &people)]
    {
        let houses = houses.iter().map(|house| (*house).to_owned()).collect();
        running.client().send::<Bell>(how, BellCommand::Ring { houses, how: how.to_owned() }).await.unwrap();
    }
    until("the parked keys", async || held(&running).await.len() == 5).await;
    let words = |pairs: &[(&str, &str)]| pairs.iter().map(|(id, cause)| ((*id).to_owned(), (*cause).to_owned())).collect::<Vec<_>>();
    let before = words(&[
        ("all", "(not kept: it may quote any of 5 subjects)"),
        ("greet", "CANARY ann and CANARY bob would not sign"),
        ("leave", "CANARY ann would not sign"),
        ("open", "CANARY ann would not sign"),
        ("plate", "(not kept: it may quote somebody, and whom is not known)"),
    ]);
    assert_eq!(held(&running).await, before, "a person sees it");
    running.stop().await;
    assert_eq!(house.canaries(), Vec::<String>::new());

    let running = house.serve(service()).await;
    assert_eq!(held(&running).await, before, "over a restart");
    let (status, answer) = asked(&running, "/v1/admin/subjects/resident/ann/erase", json!({ "reason": "asked to" })).await;
    assert_eq!(status, 200, "{answer}");
    let after = held(&running).await;
    assert!(!has_canary(format!("{after:?}").as_bytes()), "{after:?}");
    running.stop().await;
    assert_eq!(house.canaries(), Vec::<String>::new());
}
