//! One command for one entity: its decision, under the slot's lock.

use bytes::Bytes;
use component::hosted::{Accepted, Refusal};
use journal::{Commit, EventData};

use super::Entities;
use super::attempt::{Quiet, Step};
use super::live::{Live, broken, payload_bytes};
use super::slot::{Slot, State};
use super::snapshots::PlantedBug;
use crate::asked::{Asked, AskedId};
use crate::flight::Flight;
use crate::isolation::isolated;
use crate::request::{CommandError, CommandOutcome, CommandRequest, Expectation};

impl Entities {
    /// Runs a command.
    pub(crate) async fn command(&self, mut request: CommandRequest) -> Result<CommandOutcome, CommandError> {
        let id = request.id.take().into();
        self.command_under(id, request).await
    }

    /// Runs a command under an id of any origin; the request's own is not looked at.
    pub(crate) async fn command_under(&self, id: AskedId, request: CommandRequest) -> Result<CommandOutcome, CommandError> {
        self.command_of(id, request, |asked| asked).await
    }

    /// The same, with what else there is to say of it.
    pub(crate) async fn command_of(
        &self,
        id: AskedId,
        request: CommandRequest,
        more: impl FnOnce(Asked) -> Asked,
    ) -> Result<CommandOutcome, CommandError> {
        let kind = self.known_kind(request.entity.kind())?;
        let named = (kind.shared_name(&request.command), request.body);
        let asked = more(Asked::new(named, id, request.context, self.journal.lineage(), &self.mint)?);
        let seat = self.seat(kind, &request.entity)?;
        if let Some(answer) = self.as_first(&seat, &asked, request.expect).await {
            return answer;
        }
        self.attempt(std::slice::from_ref(&seat), &asked, || self.decide(&seat, &asked, request.expect)).await
    }

    /// Decides under the slot's lock, and hands an accepted command to the journal under it.
    pub(super) fn decide(&self, slot: &Slot, asked: &Asked, expect: Expectation) -> Step {
        self.decide_on(slot, &mut slot.lock(), asked, expect)
    }

    /// The same on a state that is not in the slot, or that the caller has locked there.
    pub(super) fn decide_on(&self, slot: &Slot, state: &mut State, asked: &Asked, expect: Expectation) -> Step {
        let Some(live) = state.live() else { return Step::Cold };
        if let Some(taken) = live.on_its_way(asked) {
            return Step::Joined(taken.clone());
        }
        let answer = |answer, seen| Step::Answer { answer, seen: Vec::from_iter(seen) };
        let (sequence, seen) = (live.sequence(), live.seen());
        if !live.meets(expect) {
            return answer(Err(CommandError::PreconditionFailed { sequence }), seen);
        }
        if live.is_crowded(self.limits.entity_queue_max) {
            return answer(Err(self.crowded()), None);
        }
        match self.run_rule(slot, live, asked) {
            Ok(Ok((events, reply))) if events.is_empty() => answer(Ok(Quiet { reply, sequence }), seen),
            Ok(Ok((events, reply))) => self.launch(slot, state, asked, (events, reply)),
            Ok(Err(refusal)) => answer(Err(CommandError::Refused(refusal)), seen),
            Err(message) => {
                state.reset();
                answer(Err(CommandError::Refused(broken(message))), seen)
            }
        }
    }

    /// The component's decision; the outer error says that its state is not to be trusted any more.
    fn run_rule(&self, slot: &Slot, live: &mut Live, asked: &Asked) -> Result<Result<(Vec<EventData>, Bytes), Refusal>, String> {
        let context = asked.context_for(&slot.key, live.sequence(), live.durable().time, &self.mint);
        let decided = isolated(|| live.entity().decide(&asked.name, &asked.body, &context));
        let decided = decided.map_err(|panic| panic.during(&format!("{} {}", slot.kind.name(), asked.name)))?;
        let Accepted { events, reply } = match decided {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match slot.kind.recordable(events) {
            Ok(events) => Ok(Ok((events, reply.into()))),
            // The state is already the one after these events.
            Err(refusal) => Err(CommandError::Refused(refusal).to_string()),
        }
    }

    fn launch(&self, slot: &Slot, state: &mut State, asked: &Asked, (events, reply): (Vec<EventData>, Bytes)) -> Step {
        let Some(live) = state.as_live() else { return Step::Cold };
        let (bytes, sequence) = (payload_bytes(&events), live.sequence() + events.len() as u64);
        let mut expect = vec![(slot.key.clone(), live.expect())];
        let mut commands = vec![asked.record(slot.key.clone(), reply.clone(), events)];
        if let Some(beside) = &asked.beside {
            expect.push((beside.record.entity.clone(), beside.expect));
            commands.push(beside.record.clone());
        }
        let seen = live.seen();
        let flight = Flight::launch(&self.journal, Commit { commands, expect, ..Commit::default() }, seen.as_slice());
        let taken = asked.taken(reply, 0, sequence, &flight);
        live.launched(taken.clone(), bytes);
        if let Some(snapshots) = &self.snapshots {
            live.draft_snapshot(self.limits.snapshot_every_events, &flight);
            if snapshots.planted == PlantedBug::SnapshotAheadOfJournal {
                live.take_undurable_draft().into_iter().for_each(|draft| snapshots.put(&slot.key, slot.kind.state_build(), draft));
            }
        }
        if asked.is_overtaken(&self.mint) {
            state.reset();
        }
        Step::Taken(taken)
    }
}
