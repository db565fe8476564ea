//! One idea more: an operation decides over several entities and commits their events together, all or nothing.
//!
//! ```text
//! cargo run -p headwater-examples --bin 03-operation-transfer
//! cargo run -p headwater-examples --bin 03-operation-transfer -- send account a1 deposit '{"amount":"100.00"}'
//! curl -H 'content-type: application/json' -d '{"from":"a1","to":"a2","amount":"40.00"}' http://127.0.0.1:7430/v1/operations/transfer
//! ```

use headwater::prelude::*;

/// Money that belongs together.
#[derive(Default, State)]
struct Account {
    balance: Decimal,
}

/// What an account is asked alone.
#[derive(Command)]
enum AccountCommand {
    /// Puts money in from outside.
    #[command("deposit")]
    Deposit { amount: Decimal },
}

/// What happened to an account.
#[derive(Event)]
enum AccountEvent {
    /// Money came.
    #[event("deposited")]
    Deposited { amount: Decimal },
    /// Money went.
    #[event("withdrawn")]
    Withdrawn { amount: Decimal },
}

/// Why money does not move.
#[derive(Debug, Rejection)]
enum MoneyRejection {
    /// Nothing, or less.
    #[rejection("no-amount", "the amount must be above zero")]
    NoAmount,
    /// The balance does not cover it.
    #[rejection("not-covered", "there are only {balance} on the account")]
    NotCovered { balance: Decimal },
    /// From an account to itself.
    #[rejection("same-account", "the two accounts must differ")]
    SameAccount,
    /// More than a decimal can hold.
    #[rejection("too-much", "the balance would be too large")]
    TooMuch,
}

impl Entity for Account {
    const NAME: &'static str = "account";
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Reply = ();
    type Rejection = MoneyRejection;

    fn decide(&self, command: AccountCommand, _: &CommandContext) -> Result<Decision<AccountEvent>, MoneyRejection> {
        let AccountCommand::Deposit { amount } = command;
        check_amount(amount)?;
        self.balance.checked_add(amount).ok_or(MoneyRejection::TooMuch)?;
        Ok(record(AccountEvent::Deposited { amount }))
    }

    fn evolve(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Deposited { amount } => self.balance += *amount,
            AccountEvent::Withdrawn { amount } => self.balance -= *amount,
        }
    }
}

fn check_amount(amount: Decimal) -> Result<(), MoneyRejection> {
    if amount > Decimal::ZERO { Ok(()) } else { Err(MoneyRejection::NoAmount) }
}

/// Moves money between two accounts.
struct Transfer;

/// From where, to where, how much.
#[derive(Value)]
struct TransferInput {
    from: String,
    to: String,
    amount: Decimal,
}

impl Operation for Transfer {
    const NAME: &'static str = "transfer";
    type Input = TransferInput;
    type Reply = ();
    type Rejection = MoneyRejection;

    fn entities(input: &TransferInput) -> Vec<EntityRef> {
        vec![EntityRef::of::<Account>(&input.from), EntityRef::of::<Account>(&input.to)]
    }

    fn decide(input: TransferInput, entities: &mut Entities, _: &CommandContext) -> Result<(), MoneyRejection> {
        let TransferInput { from, to, amount } = input;
        check_amount(amount)?;
        if from == to {
            return Err(MoneyRejection::SameAccount);
        }
        let balance = entities.state::<Account>(&from).balance;
        if balance < amount {
            return Err(MoneyRejection::NotCovered { balance });
        }
        entities.state::<Account>(&to).balance.checked_add(amount).ok_or(MoneyRejection::TooMuch)?;
        entities.record::<Account>(&from, AccountEvent::Withdrawn { amount });
        entities.record::<Account>(&to, AccountEvent::Deposited { amount });
        Ok(())
    }
}

fn service() -> Service {
    Service::new("bank").entity::<Account>().operation::<Transfer>()
}

fn main() -> headwater::Exit {
    service().run()
}

#[cfg(test)]
mod tests {
    use headwater::testkit::{Testkit, seeds};

    use super::*;

    fn transfer(amount: i32) -> TransferInput {
        TransferInput { from: "a1".into(), to: "a2".into(), amount: amount.into() }
    }

    fn deposited(amount: i32) -> AccountEvent {
        AccountEvent::Deposited { amount: amount.into() }
    }

    #[test]
    fn money_leaves_one_account_and_reaches_the_other() {
        given_entities()
            .with::<Account>("a1", [deposited(100)])
            .when::<Transfer>(transfer(40))
            .then::<Account>("a1", [AccountEvent::Withdrawn { amount: 40.into() }])
            .then::<Account>("a2", [deposited(40)]);
    }

    #[test]
    fn nobody_sends_what_they_do_not_have() {
        given_entities()
            .with::<Account>("a1", [deposited(100)])
            .when::<Transfer>(transfer(101))
            .rejected(MoneyRejection::NotCovered { balance: 100.into() });
    }

    #[test]
    fn an_amount_is_above_zero_and_goes_somewhere_else() {
        given_entities().when::<Transfer>(transfer(0)).rejected(MoneyRejection::NoAmount);
        let to_itself = TransferInput { to: "a1".into(), ..transfer(1) };
        given_entities().when::<Transfer>(to_itself).rejected(MoneyRejection::SameAccount);
        given::<Account>([]).when(AccountCommand::Deposit { amount: Decimal::ZERO }).rejected(MoneyRejection::NoAmount);
    }

    /// Whenever the process ends: both accounts have moved, or neither has.
    #[test]
    fn money_is_neither_made_nor_lost() {
        for seed in seeds(20) {
            let bank = Testkit::new(service).seed(seed).duplicates().delays().crashes(0.05);
            bank.send::<Account>("a1", AccountCommand::Deposit { amount: 100.into() }).expect("an amount");
            let moved = (0..4).filter(|_| bank.operation::<Transfer>(transfer(30)).is_ok()).count();
            let balance = |id| bank.state::<Account>(id).expect("the account has events").balance;
            assert_eq!((moved, balance("a1"), balance("a2")), (3, 10.into(), 90.into()), "the fourth is not covered");
        }
    }
}
