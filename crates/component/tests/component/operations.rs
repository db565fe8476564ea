//! Operations over several entities.

use headwater::hosted::{OperationReads, OperationSeen, Refusal};
use headwater::{
    Command, CommandContext, Decision, Entities, Entity, EntityRef, Event, Operation, Rejection, State, Tag, Value, given_entities, hosted,
    hosted_operation, record, tag,
};
use std::convert::Infallible;

#[derive(Default, State)]
struct Account {
    balance: u64,
}

#[derive(Command)]
enum AccountCommand {
    #[command("deposit")]
    Deposit { amount: u64 },
}

#[derive(Event)]
enum AccountEvent {
    #[event("deposited")]
    Deposited { amount: u64 },
    #[event("withdrawn")]
    Withdrawn { amount: u64 },
}

use AccountEvent::{Deposited, Withdrawn};

impl Entity for Account {
    const NAME: &'static str = "account";
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Reply = ();
    type Rejection = Infallible;

    fn decide(&self, command: AccountCommand, _: &CommandContext) -> Result<Decision<AccountEvent>, Infallible> {
        let AccountCommand::Deposit { amount } = command;
        Ok(record(Deposited { amount }))
    }

    fn evolve(&mut self, event: &AccountEvent) {
        match event {
            Deposited { amount } => self.balance += amount,
            Withdrawn { amount } => self.balance -= amount,
        }
    }

    fn tags(&self, event: &AccountEvent) -> Vec<Tag> {
        if let Withdrawn { .. } = event { vec![tag("from", self.balance)] } else { Vec::new() }
    }
}

struct Transfer;

#[derive(Value)]
struct TransferInput {
    from: String,
    to: String,
    amount: u64,
    #[field(default)]
    stray: Option<String>,
}

#[derive(Rejection)]
enum TransferRejection {
    #[rejection("not-covered", "{amount} are asked for, {balance} are there")]
    NotCovered { balance: u64, amount: u64 },
    #[rejection("refused-late", "after all: {0:?}")]
    RefusedLate(String),
}

impl Operation for Transfer {
    const NAME: &'static str = "transfer";
    type Input = TransferInput;
    type Reply = u64;
    type Rejection = TransferRejection;

    fn entities(input: &TransferInput) -> Vec<EntityRef> {
        vec![EntityRef::of::<Account>(&input.from), EntityRef::of::<Account>(&input.to)]
    }

    fn decide(input: TransferInput, entities: &mut Entities, _: &CommandContext) -> Result<u64, TransferRejection> {
        let (balance, amount) = (entities.state::<Account>(&input.from).balance, input.amount);
        if balance < amount {
            return Err(TransferRejection::NotCovered { balance, amount });
        }
        entities.record::<Account>(&input.from, Withdrawn { amount });
        entities.record::<Account>(&input.to, Deposited { amount });
        if let Some(stray) = input.stray {
            entities.record::<Account>(&stray, Deposited { amount });
        }
        if amount == 13 {
            return Err(TransferRejection::RefusedLate("unlucky".to_owned()));
        }
        Ok(entities.state::<Account>(&input.from).balance)
    }
}

fn transfer(from: &str, to: &str, amount: u64) -> TransferInput {
    TransferInput { from: from.into(), to: to.into(), amount, stray: None }
}

#[test]
fn each_entity_gets_its_events() {
    given_entities()
        .with::<Account>("a1", [Deposited { amount: 10 }])
        .when::<Transfer>(transfer("a1", "a2", 4))
        .then::<Account>("a1", [Withdrawn { amount: 4 }])
        .then::<Account>("a2", [Deposited { amount: 4 }])
        .then::<Account>("a3", [])
        .replied(6)
        .tagged([tag("from", 10)])
        .state::<Account>("a2", |account| assert_eq!(account.balance, 4))
        .when::<Transfer>(transfer("a2", "a1", 5))
        .rejected(TransferRejection::NotCovered { balance: 4, amount: 5 });
}

#[test]
fn an_entity_named_twice_is_one() {
    given_entities()
        .with::<Account>("a1", [Deposited { amount: 10 }])
        .when::<Transfer>(transfer("a1", "a1", 4))
        .then::<Account>("a1", [Withdrawn { amount: 4 }, Deposited { amount: 4 }])
        .replied(10);
    let reads = hosted_operation::<Transfer>().reads(br#"{"from":"a1","to":"a1","amount":1}"#);
    assert_eq!(reads, Ok(OperationReads::Entities(vec![("account", "a1".to_owned())])));
}

#[test]
fn a_late_rejection_leaves_nothing_behind() {
    given_entities()
        .with::<Account>("a1", [Deposited { amount: 20 }])
        .when::<Transfer>(transfer("a1", "a2", 13))
        .rejected(TransferRejection::RefusedLate("unlucky".to_owned()))
        .state::<Account>("a1", |account| assert_eq!(account.balance, 20))
        .state::<Account>("a2", |account| assert_eq!(account.balance, 0));
}

#[test]
fn an_entity_that_was_not_named_refuses_the_operation() {
    let (operation, account) = (hosted_operation::<Transfer>(), hosted::<Account>());
    let mut states = [account.restore(br#"{"balance":9}"#).unwrap(), account.fresh()];
    let body = br#"{"from":"a1","to":"a2","amount":1,"stray":"a3"}"#;
    let refused = operation.decide(body, OperationSeen::Entities(&mut states), &CommandContext::default());
    let message = "the operation uses account `a3`, which its `entities` did not name: add it there".to_owned();
    assert_eq!(refused, Err(Refusal::Broken { message }));
    assert_eq!(states[0].state().unwrap(), br#"{"balance":9}"#);
}

#[test]
fn rejections_carry_code_message_and_data() {
    let Err(Refusal::Rejected(rejected)) = hosted_operation::<Transfer>().decide(
        br#"{"from":"a1","to":"a2","amount":1}"#,
        OperationSeen::Entities(&mut [hosted::<Account>().fresh(), hosted::<Account>().fresh()]),
        &CommandContext::default(),
    ) else {
        panic!("an empty account covers nothing");
    };
    assert_eq!((&*rejected.code, rejected.message.as_str()), ("not-covered", "1 are asked for, 0 are there"));
    assert_eq!(rejected.data, serde_json::json!({ "balance": 0, "amount": 1 }));
    assert_eq!(TransferRejection::RefusedLate("x".to_owned()).message(), "after all: \"x\"");
}

#[test]
fn the_description_is_strict_about_the_input() {
    let operation = hosted_operation::<Transfer>();
    let description = operation.description();
    assert_eq!((operation.name(), description.name), ("transfer", "transfer"));
    assert_eq!(description.input["$defs"]["TransferInput"]["additionalProperties"], false);
    assert_eq!(description.rejections.len(), 2);
    let unknown = operation.reads(br#"{"from":"a","to":"b","amount":1,"currency":"EUR"}"#);
    assert!(matches!(unknown, Err(Refusal::Invalid { pointer, .. }) if pointer == "/currency"));
}
