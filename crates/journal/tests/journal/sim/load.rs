//! The work: commits of many shapes, and the reads beside them.

use std::sync::Arc;

use bytes::Bytes;
use headwater_journal::{
    BASELINE, CommandId, CommandRecord, Commit, CompactRules, ContentType, Context, EntityKey, EntityType, EventData, EventFlags, Expect,
    Fence, Fingerprint, KeepRule, Selection, Tag, TagCondition, TagQuery, TagQueryItem, Timestamp,
};

use super::mix::Mix;
use super::witness::{Attempt, Fate, Witness};
use crate::crashes::Dice;

const KINDS: [&str; 2] = ["thing", "other"];
const TAGS: u64 = 5;

pub(super) fn entity(dice: &mut Dice, mix: &Mix) -> EntityKey {
    let number = dice.roll(mix.entities);
    EntityKey::new(KINDS[(number % 2) as usize], &number.to_string()).expect("a key")
}

fn tag(dice: &mut Dice) -> Tag {
    Tag::new(&format!("t:{}", dice.roll(TAGS))).expect("a tag")
}

fn type_name(dice: &mut Dice) -> Arc<str> {
    format!("{}/e{}", KINDS[dice.index(2)], dice.roll(3)).into()
}

fn happens(dice: &mut Dice, one_in: u64) -> bool {
    one_in > 0 && dice.one_in(one_in)
}

/// The next commit: mostly a new one, sometimes one that was sent before, or its ids with another body.
pub(super) fn commit(dice: &mut Dice, mix: &Mix, witness: &Witness) -> Commit {
    if happens(dice, mix.again)
        && let Some(commit) = again(dice, witness)
    {
        return commit;
    }
    let number = witness.attempts.len() as u64;
    if let Some(compaction) = &mix.compaction
        && dice.one_in(compaction.baselines)
    {
        return Commit { commands: vec![baseline(dice, mix, number)], ..Commit::default() };
    }
    let count = if happens(dice, mix.many) { 2 + dice.roll(3) } else { 1 };
    let mut commands: Vec<CommandRecord> = (0..count).map(|index| command(dice, mix, number, index)).collect();
    if commands.len() > 1 && dice.one_in(3) {
        commands[1].events.clear();
    }
    let mut commit = Commit { commands, ..Commit::default() };
    if happens(dice, mix.expects) {
        commit.expect = expectations(dice, mix, witness, &commit);
    }
    if happens(dice, mix.conditions) {
        commit.condition = Some(condition(dice, witness));
    }
    if happens(dice, mix.fences) {
        let (register, epoch) = witness.registry.fence(dice);
        commit.fence = Some(Fence { register, epoch });
    }
    commit
}

/// One event that holds what its entity is.
fn baseline(dice: &mut Dice, mix: &Mix, number: u64) -> CommandRecord {
    let mut command = command(dice, mix, number, 0);
    command.events.truncate(1);
    (command.events[0].name, command.events[0].tags) = (BASELINE.into(), Vec::new());
    command
}

/// What may go, now.
pub(super) fn rules(dice: &mut Dice, witness: &Witness) -> CompactRules {
    let head = witness.log.len() as u64;
    let rule = |dice: &mut Dice, kind: &str| KeepRule {
        kind: EntityType::new(kind).expect("a type"),
        since: match witness.log.get(dice.index(witness.log.len() * 4 + 1)) {
            Some(event) => event.time,
            None => Timestamp::from_micros(i64::MAX),
        },
        last: [0, 0, 0, 3][dice.index(4)],
    };
    let kinds: &[&str] = [&KINDS[..], &KINDS[..], &KINDS[..1]][dice.index(3)];
    let upto = if dice.one_in(3) { dice.roll(head + 1) } else { head };
    CompactRules { upto, kinds: kinds.iter().map(|kind| rule(dice, kind)).collect() }
}

/// A new commit without any condition.
pub(super) fn plain(dice: &mut Dice, mix: &Mix, witness: &Witness) -> Commit {
    Commit { commands: vec![command(dice, mix, witness.attempts.len() as u64, 0)], ..Commit::default() }
}

/// One that was sent before, whose fate is known: with two of unknown fate nobody could say which one is there.
fn again(dice: &mut Dice, witness: &Witness) -> Option<Commit> {
    let recent = witness.attempts.len().min(40);
    let mut commit = witness.attempts[witness.attempts.len().checked_sub(1 + dice.index(recent.max(1)))?].commit.clone();
    let open = |attempt: &Attempt| attempt.fate == Fate::Open && attempt.commit.commands[0].id == commit.commands[0].id;
    if witness.attempts.iter().any(open) {
        return None;
    }
    commit.condition = None;
    if dice.one_in(4) {
        commit.commands[0].fingerprint = Some(Fingerprint([dice.roll(255) as u8; 16]));
    }
    Some(commit)
}

fn command(dice: &mut Dice, mix: &Mix, number: u64, index: u64) -> CommandRecord {
    let size = if happens(dice, mix.large) { 6_000 } else { dice.roll(400) } as usize;
    let deletes = dice.one_in(12);
    let count = 1 + dice.roll(3);
    let mut events: Vec<EventData> =
        (0..count).map(|nth| event(dice, format!("{number}.{index}.{nth}:"), size, deletes && nth + 1 == count)).collect();
    if let Some(compaction) = &mix.compaction
        && !dice.one_in(compaction.tags)
    {
        events.iter_mut().for_each(|event| event.tags.clear());
    }
    let text = |text: String| Some(Arc::from(text));
    CommandRecord {
        entity: entity(dice, mix),
        id: CommandId::from_raw(format!("{number}.{index}").as_bytes()),
        name: "do".into(),
        fingerprint: dice.one_in(2).then_some(Fingerprint([number as u8; 16])),
        context: if dice.one_in(3) {
            Context { correlation_id: text(format!("c{number}")), principal: text("p".into()), ..Context::default() }
        } else {
            Context::default()
        },
        reply: Bytes::from(format!("reply {number}.{index}")),
        events,
    }
}

fn event(dice: &mut Dice, front: String, size: usize, deletes: bool) -> EventData {
    let mut payload = front.into_bytes();
    payload.resize(payload.len() + size, dice.roll(256) as u8);
    EventData {
        name: if deletes { "$deleted".into() } else { format!("e{}", dice.roll(3)).into() },
        version: 1 + dice.roll(3) as u16,
        content: ContentType::Other(9),
        flags: EventFlags(0),
        tags: (0..dice.roll(3)).map(|nth| Tag::new(&format!("t:{}", (dice.roll(TAGS) + nth) % TAGS)).expect("a tag")).collect(),
        payload: payload.into(),
    }
}

fn expectations(dice: &mut Dice, mix: &Mix, witness: &Witness, commit: &Commit) -> Vec<(EntityKey, Expect)> {
    let entity = if dice.one_in(3) { entity(dice, mix) } else { commit.commands[0].entity.clone() };
    let head = witness.heads.get(&entity).map_or(0, |head| head.sequence);
    let expect = match dice.roll(6) {
        0 => Expect::New,
        1 => Expect::Any,
        2 => Expect::Head(head + 1),
        _ => Expect::Head(head),
    };
    vec![(entity, expect)]
}

fn condition(dice: &mut Dice, witness: &Witness) -> TagCondition {
    let length = witness.log.len() as u64;
    let after = witness.cursor(if dice.one_in(4) { length / 2 } else { length });
    TagCondition { query: query(dice), after }
}

fn query(dice: &mut Dice) -> TagQuery {
    let item = |dice: &mut Dice| TagQueryItem {
        types: (0..dice.roll(2)).map(|_| type_name(dice)).collect(),
        tags: (0..1 + dice.roll(2)).map(|_| tag(dice)).collect(),
    };
    TagQuery { items: (0..1 + dice.roll(2)).map(|_| item(dice)).collect() }
}

/// What a reader may want.
pub(super) fn selection(dice: &mut Dice, mix: &Mix) -> Selection {
    match dice.roll(6) {
        0 => Selection::All,
        1 => Selection::Tags(query(dice)),
        2 => Selection::Types(vec![type_name(dice)]),
        3 => Selection::Types(vec![KINDS[dice.index(2)].into()]),
        4 => Selection::Slices { first: 0, last: dice.roll(1024) as u16, types: dice.one_in(2).then(|| vec![type_name(dice)]) },
        _ => Selection::Entity { entity: entity(dice, mix), from_sequence: 1 + dice.roll(3) },
    }
}
