//! Operations: one decision over several entities of any types, committed together.

use std::any::Any;

use crate::entity::Entity;
use crate::host::Live;
use crate::host::recording::{decode_state, encode_event, encode_state};
use crate::hosted::{CommandContext, EncodedEvent, LiveEntity};
use crate::personal::Binding;
use crate::value::Value;
use crate::variants::{Rejection, Variants as _};

/// A decision over several entities, committed together, with an expectation on the head of each.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// # #[derive(Default, State)] struct Account { balance: u64 }
/// # #[derive(Command)] enum AccountCommand { #[command("deposit")] Deposit { amount: u64 } }
/// # #[derive(Event)] enum AccountEvent { #[event("deposited")] Deposited { amount: u64 }, #[event("withdrawn")] Withdrawn { amount: u64 } }
/// # impl Entity for Account {
/// #     const NAME: &'static str = "account";
/// #     type Command = AccountCommand; type Event = AccountEvent; type Reply = (); type Rejection = std::convert::Infallible;
/// #     fn decide(&self, command: AccountCommand, _: &CommandContext) -> Result<Decision<AccountEvent>, Self::Rejection> {
/// #         let AccountCommand::Deposit { amount } = command;
/// #         Ok(record(AccountEvent::Deposited { amount }))
/// #     }
/// #     fn evolve(&mut self, event: &AccountEvent) {
/// #         match event {
/// #             AccountEvent::Deposited { amount } => self.balance += amount,
/// #             AccountEvent::Withdrawn { amount } => self.balance -= amount,
/// #         }
/// #     }
/// # }
/// struct Transfer;
///
/// #[derive(Value)]
/// struct TransferInput { from: String, to: String, amount: u64 }
///
/// #[derive(Rejection)]
/// enum TransferRejection { #[rejection("not-covered", "there are only {balance} on it")] NotCovered { balance: u64 } }
///
/// impl Operation for Transfer {
///     const NAME: &'static str = "transfer";
///     type Input = TransferInput;
///     type Reply = ();
///     type Rejection = TransferRejection;
///
///     fn entities(input: &TransferInput) -> Vec<EntityRef> {
///         vec![EntityRef::of::<Account>(&input.from), EntityRef::of::<Account>(&input.to)]
///     }
///
///     fn decide(input: TransferInput, entities: &mut Entities, _: &CommandContext) -> Result<(), TransferRejection> {
///         let balance = entities.state::<Account>(&input.from).balance;
///         if balance < input.amount {
///             return Err(TransferRejection::NotCovered { balance });
///         }
///         entities.record::<Account>(&input.from, AccountEvent::Withdrawn { amount: input.amount });
///         entities.record::<Account>(&input.to, AccountEvent::Deposited { amount: input.amount });
///         Ok(())
///     }
/// }
///
/// given_entities()
///     .with::<Account>("a1", [AccountEvent::Deposited { amount: 10 }])
///     .when::<Transfer>(TransferInput { from: "a1".into(), to: "a2".into(), amount: 4 })
///     .then::<Account>("a2", [AccountEvent::Deposited { amount: 4 }]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an operation: implement `Operation` for it",
    label = "`Operation` is not implemented for `{Self}`"
)]
pub trait Operation: Send + Sync + 'static {
    /// The durable name, `[a-z][a-z0-9-]{0,63}`: its address.
    const NAME: &'static str;
    /// What it is asked with.
    type Input: Value;
    /// What it answers when it accepts.
    type Reply: Value;
    /// Why it says no.
    type Rejection: Rejection;

    /// The entities it may see and change, at least one; the first carries the record of the command.
    fn entities(input: &Self::Input) -> Vec<EntityRef>;

    /// Accepts, having recorded what happened to each entity, or rejects: then nothing it recorded counts.
    ///
    /// # Errors
    /// The rule's own.
    fn decide(input: Self::Input, entities: &mut Entities<'_>, context: &CommandContext) -> Result<Self::Reply, Self::Rejection>;
}

/// Names an entity.
#[derive(Clone, Debug)]
pub struct EntityRef {
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    /// Its state without events, for tests.
    pub(crate) fresh: fn() -> Box<dyn LiveEntity>,
}

impl PartialEq for EntityRef {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.id) == (other.kind, &other.id)
    }
}

impl Eq for EntityRef {}

impl EntityRef {
    /// The entity of this type and id.
    #[must_use]
    pub fn of<A: Entity>(id: impl Into<String>) -> Self {
        Self { kind: A::NAME, id: id.into(), fresh: Live::<A>::fresh }
    }
}

/// The entities of an operation while it decides.
pub struct Entities<'a> {
    seats: Vec<Seat<'a>>,
    /// The first thing that went wrong while recording: the operation is refused with it.
    broken: Option<String>,
    erasures: u64,
}

/// One entity: its state and what was recorded on it.
struct Seat<'a> {
    kind: &'static str,
    id: String,
    state: &'a mut dyn Any,
    events: Vec<EncodedEvent>,
    undo: Option<Undo>,
}

/// Type, id and events of one entity.
type Recorded = (&'static str, String, Vec<EncodedEvent>);

/// Puts the state back to what it was before the first event.
type Undo = Box<dyn FnOnce(&mut dyn Any) -> Result<(), String>>;

impl<'a> Entities<'a> {
    pub(crate) fn new(states: impl Iterator<Item = (&'static str, String, &'a mut dyn Any)>, erasures: u64) -> Self {
        let seat = |(kind, id, state)| Seat { kind, id, state, events: Vec::new(), undo: None };
        Self { seats: states.map(seat).collect(), broken: None, erasures }
    }

    /// The state of an entity, with the events that were recorded on it.
    ///
    /// # Panics
    /// When `Operation::entities` did not name it.
    #[must_use]
    pub fn state<A: Entity>(&self, id: &str) -> &A {
        let seat = self.seats.iter().find(|seat| seat.is::<A>(id));
        let state = seat.and_then(|seat| seat.state.downcast_ref());
        state.unwrap_or_else(|| panic!("{}", not_named::<A>(id)))
    }

    /// Records an event on an entity and evolves its state. An entity that `Operation::entities` did not name refuses the operation.
    pub fn record<A: Entity>(&mut self, id: &str, event: A::Event) {
        if let Err(message) = self.try_record::<A>(id, event) {
            self.broken.get_or_insert(message);
        }
    }

    fn try_record<A: Entity>(&mut self, id: &str, mut event: A::Event) -> Result<(), String> {
        A::Event::bind(&mut event, &Binding::of_entity(A::NAME, id, Some(self.erasures)));
        let event = &event;
        let seat = self.seats.iter_mut().find(|seat| seat.is::<A>(id)).ok_or_else(|| not_named::<A>(id))?;
        let state: &mut A = seat.state.downcast_mut().ok_or_else(|| not_named::<A>(id))?;
        let mut encoded = encode_event(A::NAME, event)?;
        encoded.tags = crate::tag::checked_tags(state.tags(event))?;
        if seat.undo.is_none() {
            seat.undo = Some(undo(state)?);
        }
        state.evolve(event);
        seat.events.push(encoded);
        Ok(())
    }

    /// What was recorded, each entity once; everything is put back when something went wrong.
    pub(crate) fn finish(mut self) -> Result<Vec<Recorded>, String> {
        if let Some(message) = self.broken.take() {
            self.put_back()?;
            return Err(message);
        }
        let changed = self.seats.into_iter().filter(|seat| !seat.events.is_empty());
        Ok(changed.map(|seat| (seat.kind, seat.id, seat.events)).collect())
    }

    /// Undoes every record.
    pub(crate) fn put_back(self) -> Result<(), String> {
        self.seats.into_iter().try_for_each(|seat| seat.undo.map_or(Ok(()), |undo| undo(seat.state)))
    }
}

impl Seat<'_> {
    fn is<A: Entity>(&self, id: &str) -> bool {
        self.kind == A::NAME && self.id == id
    }
}

/// A state has no `Clone`; its JSON is the copy. It is made once an operation and entity, before the first event.
fn undo<A: Entity>(state: &A) -> Result<Undo, String> {
    let before = encode_state(state)?;
    Ok(Box::new(move |state: &mut dyn Any| {
        let state: &mut A = state.downcast_mut().ok_or_else(|| not_named::<A>(""))?;
        *state = decode_state(&before)?;
        Ok(())
    }))
}

fn not_named<A: Entity>(id: &str) -> String {
    format!("the operation uses {} `{id}`, which its `entities` did not name: add it there", A::NAME)
}
