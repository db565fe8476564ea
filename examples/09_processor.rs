//! One idea more: a reaction with a memory. Sign-ins that fail are events of many accounts; a processor gathers them by the address
//! that they come from, over the last ten minutes, and says when somebody is guessing.
//!
//! ```text
//! cargo run -p headwater-examples --bin 09-processor
//! cargo run -p headwater-examples --bin 09-processor -- send account ann fail '{"address":"192.0.2.7"}'
//! curl 'http://127.0.0.1:7430/v1/streams/sign-in?type=guessing'
//! ```

use std::time::Duration;

use headwater::prelude::*;

/// An account.
#[derive(Default, State)]
struct Account {
    failures: u64,
}

/// What an account is told.
#[derive(Command)]
enum AccountCommand {
    /// The password was wrong.
    #[command("fail")]
    Fail { address: String },
}

/// What happened to an account.
#[derive(Event)]
enum AccountEvent {
    /// Somebody did not get in.
    #[event("sign-in-failed")]
    SignInFailed { address: String },
}

impl Entity for Account {
    const NAME: &'static str = "account";
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, command: AccountCommand, _: &CommandContext) -> Result<Decision<AccountEvent>, Self::Rejection> {
        let AccountCommand::Fail { address } = command;
        Ok(record(AccountEvent::SignInFailed { address }))
    }

    fn evolve(&mut self, _: &AccountEvent) {
        self.failures += 1;
    }
}

const TEN_MINUTES: Sliding = Sliding::of(Duration::from_secs(600)).every(Duration::from_secs(10));
const FAILURES_MAX: u32 = 3;

/// What is remembered of an address.
#[derive(Default, State)]
struct Address {
    failures: Windows<u32>,
}

/// What is said about an address: events of the entity type `guessing`, which views and actions read like any others.
#[derive(Debug, PartialEq, Event)]
enum GuessingEvent {
    /// Too many sign-ins have failed.
    #[event("suspected")]
    Suspected { failures: u32 },
}

/// Watches addresses.
struct Guessing;

impl Processor for Guessing {
    const NAME: &'static str = "guessing";
    type State = Address;
    type Event = GuessingEvent;

    fn inputs(inputs: Inputs<Self>) -> Inputs<Self> {
        inputs.events("account", |failed: &Recorded<AccountEvent>| address(&failed.event), Self::count)
    }
}

/// Events of all accounts meet in the address that they come from.
fn address(event: &AccountEvent) -> String {
    let AccountEvent::SignInFailed { address } = event;
    address.clone()
}

impl Guessing {
    fn count(&self, address: &mut Address, _: Recorded<AccountEvent>, ctx: &mut ProcessorContext<GuessingEvent>) {
        TEN_MINUTES.add(&mut address.failures, ctx, |count| *count += 1).ignore_late();
        let failures: u32 = TEN_MINUTES.over(&address.failures, ctx).sum();
        if failures == FAILURES_MAX + 1 {
            ctx.emit(GuessingEvent::Suspected { failures });
        }
    }
}

fn service() -> Service {
    Service::new("sign-in").entity::<Account>().processor(Guessing)
}

fn main() -> headwater::Exit {
    service().run()
}

#[cfg(test)]
mod tests {
    use headwater::testkit::{Testkit, minutes};

    use super::*;

    const ADDRESS: &str = "192.0.2.7";

    fn failed() -> AccountEvent {
        AccountEvent::SignInFailed { address: ADDRESS.into() }
    }

    #[test]
    fn a_fourth_failure_within_ten_minutes_is_suspicious_whoever_it_was() {
        let three = ["ann", "bob", "eve"].iter().fold(given_processor(Guessing), |given, id| given.event("account", id, failed()));
        let three = three.emits_nothing();
        three.event("account", "joe", failed()).emits([(ADDRESS, GuessingEvent::Suspected { failures: 4 })]);
    }

    #[test]
    fn failures_of_long_ago_do_not_count() {
        let three = ["ann", "bob", "eve"].iter().fold(given_processor(Guessing), |given, id| given.event("account", id, failed()));
        three.pass(minutes(11)).event("account", "joe", failed()).emits_nothing();
    }

    #[test]
    fn in_a_whole_service_each_failure_counts_once_whatever_ends_the_process() {
        for seed in 0..10 {
            let accounts = Testkit::new(service).seed(seed).duplicates().delays().reorder().crashes(0.02);
            for account in ["ann", "bob", "eve", "joe", "kim"] {
                accounts.send::<Account>(account, AccountCommand::Fail { address: ADDRESS.into() }).unwrap();
            }
            accounts.settle();
            assert_eq!(accounts.emitted(Guessing, ADDRESS), [GuessingEvent::Suspected { failures: 4 }], "seed {seed}");
        }
    }
}
