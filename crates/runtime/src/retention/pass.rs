//! One pass: baselines for whoever needs one, then the compaction.

use std::collections::BTreeMap;

use component::Keep;
use journal::{CompactRules, EntityKey, EntityType, KeepRule, Position, ReadError, Revision, Timestamp};

use super::look::Sight;
use super::pins::{Pin, lowest};
use super::place::{self, Place, UnderWay};
use super::{Pins, Retention};
use crate::entity::baseline::Rebased;
use crate::entity::kind::Kind;
use crate::limits::{RETENTION_PAUSE, RETENTION_PLACE_KEYS, RETENTION_STEP_KEYS};
use crate::personal::is_key_missing;
use crate::request::StateError;

/// A pass under way, and its register.
struct Walk {
    revision: Option<Revision>,
    place: Place,
    under_way: UnderWay,
    /// Entities since the last pause, and since the place was written.
    looked: u64,
    /// Where the journal was when this began: who has read as far keeps nothing.
    head: Position,
}

impl Walk {
    /// The type loses nothing in this pass.
    fn hold_back(&mut self, kind: &str) {
        if !self.is_held_back(kind) {
            self.under_way.held_back.push(kind.to_owned());
        }
    }

    fn is_held_back(&self, kind: &str) -> bool {
        self.under_way.held_back.iter().any(|held| held == kind)
    }
}

impl Retention {
    /// Goes on with the pass that the register knows, or begins one. It may be dropped at any moment.
    pub(super) async fn pass(&self, pins: &Pins) -> Result<(), String> {
        let (revision, place) = place::read(&self.around.registers).await.map_err(|error| error.to_string())?;
        let head = self.around.journal.head().await.map_err(|error| error.to_string())?.position();
        let mut walk = self.walk(revision, place, head);
        let first = self.policies.iter().position(|(kind, _)| *kind == walk.under_way.kind).unwrap_or(0);
        for (kind, keep) in &self.policies[first..] {
            self.look_at_all(&mut walk, kind, *keep).await?;
        }
        self.compact(&mut walk, pins).await
    }

    fn walk(&self, revision: Option<Revision>, mut place: Place, head: Position) -> Walk {
        let builds = self.builds(|_| true);
        let begun = place.under_way.take();
        // What a pass of another version has begun may have left baselines of its shape.
        place.builds.retain(|kind, build| begun.as_ref().is_none_or(|begun| begun.builds.get(kind) == Some(&*build)));
        let under_way = begun.filter(|under_way| under_way.builds == builds).unwrap_or_else(|| {
            self.tell(|status| (status.too_large, status.unreadable) = (0, 0));
            UnderWay {
                began: self.around.clock.now().as_micros(),
                kind: self.policies[0].0.to_owned(),
                builds,
                after: None,
                held_back: Vec::new(),
            }
        });
        Walk { revision, place, under_way, looked: 0, head }
    }

    /// Looks at every entity of a type, from where the pass is.
    async fn look_at_all(&self, walk: &mut Walk, name: &str, keep: Keep) -> Result<(), String> {
        let Some(kind) = self.around.entities.kind(name).cloned() else { return Ok(()) };
        if walk.under_way.kind != name {
            (walk.under_way.kind, walk.under_way.after) = (name.to_owned(), None);
        }
        self.write_place(walk).await?;
        let rule = rule(name, keep, walk.under_way.began)?;
        let mut keys = self.around.journal.entities(&rule.kind, walk.under_way.after());
        while let Some(key) = keys.next().await {
            let key = key.map_err(|error| error.to_string())?;
            self.look_at(walk, &kind, &key, &rule).await?;
            walk.under_way.after = Some((key.tenant().to_owned(), key.id().to_owned()));
            self.rest(walk).await?;
        }
        Ok(())
    }

    async fn look_at(&self, walk: &mut Walk, kind: &Kind, key: &EntityKey, rule: &KeepRule) -> Result<(), String> {
        walk.looked += 1;
        self.tell(|status| status.entities += 1);
        let (name, build) = (kind.name(), kind.state_build());
        // A state that has changed since the last whole pass: no baseline of before may stand for events that it can read.
        let is_thorough = walk.place.builds.get(name).map(String::as_str) != Some(build);
        let sight = match Sight::of(&*self.around.journal, key, rule, is_thorough).await {
            Ok(sight) => sight,
            Err(ReadError::Damaged { .. }) => {
                self.tell(|status| status.unreadable += 1);
                walk.hold_back(name);
                return Ok(());
            }
            Err(error) => return Err(error.to_string()),
        };
        if !sight.wants_baseline(build) {
            return Ok(());
        }
        match self.around.entities.baseline(name, key).await {
            Ok(Rebased::Written) => {
                self.tell(|status| status.baselines += 1);
                return Ok(());
            }
            Ok(Rebased::Absent) => return Ok(()),
            Ok(Rebased::TooLarge) => self.tell(|status| status.too_large += 1),
            Err(StateError::Read(error)) if is_about_all(&error) => return Err(format!("{key}: {error}")),
            Err(_) => self.tell(|status| status.unreadable += 1),
        }
        // The old baseline would stand for events that this component still can read, and it cannot read the baseline as they are.
        if sight.is_stale(build) {
            walk.hold_back(name);
        }
        Ok(())
    }

    /// Rests from time to time, and remembers where it is.
    async fn rest(&self, walk: &mut Walk) -> Result<(), String> {
        if walk.looked.is_multiple_of(RETENTION_PLACE_KEYS) {
            self.write_place(walk).await?;
        }
        if walk.looked.is_multiple_of(RETENTION_STEP_KEYS) {
            self.around.tasks.sleep(RETENTION_PAUSE).await;
        }
        Ok(())
    }

    async fn write_place(&self, walk: &mut Walk) -> Result<(), String> {
        walk.place.under_way = Some(walk.under_way.clone());
        self.put(walk).await
    }

    async fn put(&self, walk: &mut Walk) -> Result<(), String> {
        let written = place::write(&self.around.registers, walk.revision, &walk.place).await;
        walk.revision = Some(written.map_err(|error| format!("its place is not written ({error})"))?);
        Ok(())
    }

    /// Has the engine compact, as far as everybody has read.
    async fn compact(&self, walk: &mut Walk, pins: &Pins) -> Result<(), String> {
        // The head first: whoever begins to read later begins behind it, or at the first event that is there.
        let head = self.around.journal.head().await.map_err(|error| error.to_string())?.position();
        let pin = lowest(pins().await?).filter(|pin| pin.read < head);
        let rules = self.rules(walk, pin.as_ref().map_or(head, |pin| pin.read))?;
        let kinds: Vec<String> = rules.kinds.iter().map(|rule| rule.kind.to_string()).collect();
        let compacted = self.around.journal.compact(rules).await;
        // One that fails or ends with the service may have come some way.
        if !matches!(&compacted, Ok(Some(compacted)) if compacted.events == 0) && !matches!(&compacted, Ok(None)) {
            self.lost().extend(kinds);
        }
        let compacted = compacted.map_err(|error| error.to_string())?;
        let builds = self.builds(|kind| !walk.is_held_back(kind));
        let ended = self.around.clock.now();
        let lost: Vec<String> = self.lost().iter().cloned().collect();
        walk.place = Place { under_way: None, ended: Some(ended.as_micros()), lost: lost.clone(), builds };
        self.put(walk).await?;
        self.tell_ended(pin.filter(|pin| pin.read < walk.head), ended, compacted, lost);
        Ok(())
    }

    /// The states that the components of these types have.
    fn builds(&self, of: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let kinds = self.policies.iter().filter(|(kind, _)| of(kind)).filter_map(|(kind, _)| self.around.entities.kind(kind));
        kinds.map(|kind| (kind.name().to_owned(), kind.state_build().to_owned())).collect()
    }

    fn rules(&self, walk: &Walk, upto: Position) -> Result<CompactRules, String> {
        let policies = self.policies.iter().filter(|(kind, _)| !walk.is_held_back(kind));
        let kinds: Result<Vec<_>, _> = policies.map(|(kind, keep)| rule(kind, *keep, walk.under_way.began)).collect();
        Ok(CompactRules { upto, kinds: kinds? })
    }

    fn tell_ended(&self, pin: Option<Pin>, ended: Timestamp, compacted: Option<journal::Compacted>, lost: Vec<String>) {
        let waits = pin.map(|pin| pin.wait(self.around.journal.lineage()));
        self.tell(|status| {
            status.passes += 1;
            (status.ended, status.waits, status.lost, status.problem) = (Some(ended), waits, lost, None);
            status.unable = compacted.is_none();
            if let Some(compacted) = &compacted {
                status.total.segments += compacted.segments;
                status.total.rewritten += compacted.rewritten;
                status.total.events += compacted.events;
                status.total.bytes += compacted.bytes;
            }
            status.compacted = compacted;
        });
    }
}

/// Whether what keeps one entity from being read keeps others, too. Damage and a missing key are about what was read.
fn is_about_all(error: &ReadError) -> bool {
    !matches!(error, ReadError::Damaged { .. }) && !is_key_missing(error)
}

/// What a type keeps, in a pass that began then.
fn rule(kind: &str, keep: Keep, began: i64) -> Result<KeepRule, String> {
    let kind = EntityType::new(kind).map_err(|error| error.to_string())?;
    let since = keep.time().map_or(i64::MAX, |time| began.saturating_sub(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)));
    Ok(KeepRule { kind, since: Timestamp::from_micros(since), last: keep.last_events() })
}
