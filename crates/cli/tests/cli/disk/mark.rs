//! What writers write, so that each event says which it is and can be recognized whole.

use bytes::Bytes;
use journal::{CommandId, CommandRecord, Commit, ContentType, Context, EntityKey, EventData, EventFlags, Recorded};
use serde::{Deserialize, Serialize};

/// Writers in a process.
pub(super) const WRITERS: u64 = 8;

/// One event: which of the events of which commit, and where the journal has put it (0 before it is known).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) writer: u64,
    /// Which life of the process wrote it.
    pub(super) round: u64,
    /// The commit's number among those of its writer, over all rounds, without holes.
    pub(super) number: u64,
    pub(super) index: u64,
    /// How many events the commit has.
    pub(super) of: u64,
    pub(super) position: u64,
}

impl Mark {
    /// The last event of a commit that is to be.
    pub(super) fn new(writer: u64, round: u64, number: u64) -> Self {
        let of = [1, 1, 1, 2, 3, 1, 7, 40][dice(writer, round, number, 0, 8)];
        Self { writer, round, number, index: of - 1, of, position: 0 }
    }

    /// What an event says of itself; `None` when it is not, to the byte, what a writer wrote.
    pub(super) fn of(event: &Recorded) -> Option<Self> {
        let head = event.payload.split(|byte| *byte == b'\n').next()?;
        let numbers: Vec<u64> = std::str::from_utf8(head).ok()?.split(' ').map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let &[writer, round, number, index, of] = &numbers[..] else { return None };
        let mark = Self { writer, round, number, index, of, position: event.position };
        (mark.payload() == event.payload && mark.entity() == event.entity).then_some(mark)
    }

    /// A commit's events go to the writer's own entity, but for the last of several: two writers share its entity.
    pub(super) fn entity(&self) -> EntityKey {
        let is_shared = self.of > 1 && self.index == self.of - 1;
        let id = if is_shared { format!("both-{}", self.writer / 2) } else { own_id(self.writer) };
        EntityKey::new("mark", &id).expect("the key fits")
    }

    /// So many events of the commit are on the writer's own entity.
    pub(super) fn own_events(&self) -> u64 {
        if self.of > 1 { self.of - 1 } else { 1 }
    }

    /// The whole commit that this event belongs to.
    pub(super) fn commit(&self) -> Commit {
        let events: Vec<Self> = (0..self.of).map(|index| Self { index, ..*self }).collect();
        let commands = events.chunk_by(|one, next| one.entity() == next.entity()).map(Self::command).collect();
        Commit { commands, ..Commit::default() }
    }

    fn command(events: &[Self]) -> CommandRecord {
        let first = events[0];
        CommandRecord {
            entity: first.entity(),
            id: CommandId::from_raw(format!("{}-{}-{}", first.writer, first.round, first.number).as_bytes()),
            name: "mark".into(),
            fingerprint: None,
            context: Context::default(),
            reply: Bytes::from_static(b"{}"),
            events: events.iter().map(Self::event).collect(),
        }
    }

    fn event(&self) -> EventData {
        let (name, content, flags) = ("marked".into(), ContentType::Other(255), EventFlags::default());
        EventData { name, version: 1, content, flags, tags: Vec::new(), payload: self.payload() }
    }

    /// Its numbers and a filler that follows from them: mostly short, seldom of many blocks.
    fn payload(&self) -> Bytes {
        let Self { writer, round, number, index, of, .. } = *self;
        let mut payload = format!("{writer} {round} {number} {index} {of}\n").into_bytes();
        let bytes = [40, 90, 90, 200, 300, 900, 3_000, 30_000][dice(writer, round, number, index + 1, 8)];
        let mut filler = writer ^ round << 8 ^ number << 20 ^ index << 50;
        for _ in 0..bytes {
            filler = filler.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            payload.push((filler >> 56) as u8);
        }
        payload.into()
    }
}

pub(super) fn own_id(writer: u64) -> String {
    format!("w{writer}")
}

/// A number below `bound` that follows from the others (SplitMix64's mixing).
fn dice(writer: u64, round: u64, number: u64, index: u64, bound: usize) -> usize {
    let mut mixed = writer ^ round.rotate_left(16) ^ number.rotate_left(32) ^ index.rotate_left(48) ^ 0x9e37_79b9_7f4a_7c15;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) % bound as u64) as usize
}
