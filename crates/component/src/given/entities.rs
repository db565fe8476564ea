//! Tests of operations.

use std::marker::PhantomData;

use super::assertions::outcome_assertions;
use super::outcome::{Outcome, Recorded, asked, encode_all, stored};
use super::test_context;
use crate::decision::IntoEvents;
use crate::entity::Entity;
use crate::host::hosted_operation;
use crate::hosted::{CommandContext, EncodedEvent, LiveEntity, OperationAccepted, OperationReads, OperationSeen, Refusal};
use crate::operation::{EntityRef, Operation};
use crate::value::{decode, encode};

/// Entities for the test of an [`Operation`]; those that the operation names and the test does not have no events.
#[must_use = "ask something: `.when::<Operation>(input)`"]
pub fn given_entities() -> GivenEntities {
    GivenEntities { entities: Vec::new(), context: test_context() }
}

/// Entities in a test, before an operation.
pub struct GivenEntities {
    entities: Vec<(EntityRef, Box<dyn LiveEntity>)>,
    context: CommandContext,
}

/// Entities in a test, after an operation.
pub struct WhenEntities<O: Operation> {
    given: GivenEntities,
    /// Type, id and number of the events in the outcome, which stand one entity's behind the other's.
    recorded: Vec<(&'static str, String, usize)>,
    outcome: Outcome,
    operation: PhantomData<fn() -> O>,
}

impl GivenEntities {
    /// These events happened to this entity.
    ///
    /// # Panics
    /// When an event does not encode.
    #[track_caller]
    pub fn with<A: Entity>(mut self, id: &str, events: impl IntoEvents<A::Event>) -> Self {
        let at = self.place(&EntityRef::of::<A>(id));
        for event in encode_all(A::NAME, events.into_events()) {
            self.entities[at].1.evolve(stored(&event)).unwrap_or_else(|error| panic!("{error}"));
        }
        self
    }

    /// Sets the time of the operations that follow: microseconds since 1970.
    pub fn at(mut self, time_micros: i64) -> Self {
        self.context.time_micros = time_micros;
        self
    }

    /// Sets who asks for the operations that follow.
    pub fn by(mut self, principal: impl Into<String>) -> Self {
        self.context.principal = Some(principal.into());
        self
    }

    /// Runs an operation.
    ///
    /// # Panics
    /// When the input does not encode.
    #[track_caller]
    #[must_use = "say what comes of it: `.then::<Entity>(..)`, `.rejected(..)` or `.replied(..)`"]
    pub fn when<O: Operation>(mut self, input: O::Input) -> WhenEntities<O> {
        let body = encode(&input).unwrap_or_else(|error| panic!("the input of {} does not encode: {error}", O::NAME));
        let accepted = self.run::<O>(&body);
        let asked = asked("operation", O::NAME, &body);
        let (recorded, result) = match accepted {
            Ok(accepted) => flatten(accepted),
            Err(refusal) => (Vec::new(), Err(refusal)),
        };
        WhenEntities { given: self, recorded, outcome: Outcome { asked, result }, operation: PhantomData }
    }

    fn run<O: Operation>(&mut self, body: &[u8]) -> Result<OperationAccepted, Refusal> {
        let operation = hosted_operation::<O>();
        let OperationReads::Entities(named) = operation.reads(body)? else {
            unreachable!("an operation reads entities");
        };
        let input: O::Input = decode(body).expect("what was just read strictly is read tolerantly too");
        for entity in O::entities(&input) {
            self.place(&entity);
        }
        // The operation wants its own entities, in its own order, and nothing else.
        let mut others = std::mem::take(&mut self.entities);
        let mut seen: Vec<(EntityRef, Box<dyn LiveEntity>)> = Vec::new();
        for (kind, id) in &named {
            let at = others.iter().position(|(entity, _)| entity.kind == *kind && entity.id == *id).expect("placed above");
            seen.push(others.swap_remove(at));
        }
        self.context.entity_id.clone_from(&named[0].1);
        let (refs, mut states): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
        let accepted = operation.decide(body, OperationSeen::Entities(&mut states), &self.context);
        self.entities = refs.into_iter().zip(states).chain(others).collect();
        accepted
    }

    /// Where the entity stands, fresh if it was not there.
    fn place(&mut self, entity: &EntityRef) -> usize {
        if let Some(at) = self.entities.iter().position(|(known, _)| known == entity) {
            return at;
        }
        self.entities.push((entity.clone(), (entity.fresh)()));
        self.entities.len() - 1
    }
}

type Flat = (Vec<(&'static str, String, usize)>, Result<Recorded, Refusal>);

fn flatten(accepted: OperationAccepted) -> Flat {
    let recorded = accepted.events.iter().map(|(kind, id, events)| (*kind, id.clone(), events.len())).collect();
    let events = accepted.events.into_iter().flat_map(|(_, _, events)| events).collect();
    (recorded, Ok(Recorded { events, reply: accepted.reply }))
}

impl<O: Operation> WhenEntities<O> {
    /// These events happened to this entity, and no others to it.
    ///
    /// # Panics
    /// When others did, or the operation was refused.
    #[track_caller]
    pub fn then<A: Entity>(mut self, id: &str, events: impl IntoEvents<A::Event>) -> Self {
        let expected = encode_all(A::NAME, events.into_events());
        let asked = format!("{}, then {} `{id}`", self.outcome.asked, A::NAME);
        let own = Recorded { events: self.of::<A>(id), reply: Vec::new() };
        match &mut self.outcome.result {
            Ok(_) => Outcome { asked, result: Ok(own) }.expect_events(&expected),
            Err(_) => self.outcome.expect_events(&expected),
        }
        self
    }

    /// Nothing happened to any entity, and yet the operation was accepted.
    ///
    /// # Panics
    /// When something did, or the operation was refused.
    #[track_caller]
    pub fn then_nothing(self) -> Self {
        self.outcome.expect_events(&[]);
        self
    }

    outcome_assertions!(O, "The operation was", "When it was not.");

    /// Looks at the state of an entity.
    ///
    /// # Panics
    /// When `check` does.
    #[track_caller]
    pub fn state<A: Entity>(mut self, id: &str, check: impl FnOnce(&A)) -> Self {
        let at = self.given.place(&EntityRef::of::<A>(id));
        check(self.given.entities[at].1.as_any().downcast_ref().expect("two entity types of one name"));
        self
    }

    /// Runs a further operation on the entities as they are now.
    ///
    /// # Panics
    /// When the input does not encode.
    #[track_caller]
    #[must_use = "say what comes of it: `.then::<Entity>(..)`, `.rejected(..)` or `.replied(..)`"]
    pub fn when<P: Operation>(self, input: P::Input) -> WhenEntities<P> {
        self.given.when(input)
    }

    fn of<A: Entity>(&self, id: &str) -> Vec<EncodedEvent> {
        let before = self.recorded.iter().take_while(|(kind, own, _)| (*kind, own.as_str()) != (A::NAME, id));
        let from: usize = before.map(|(_, _, count)| count).sum();
        let own = self.recorded.iter().find(|(kind, own, _)| (*kind, own.as_str()) == (A::NAME, id));
        let count = own.map_or(0, |(_, _, count)| *count);
        let events = self.outcome.result.as_ref().map_or(&[][..], |recorded| &recorded.events);
        events.iter().skip(from).take(count).cloned().collect()
    }
}
