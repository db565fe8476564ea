//! What the witness knows of the registers. A call that failed may have had its effect: the next opening tells.

use std::collections::BTreeMap;

use bytes::Bytes;
use headwater_journal::embedded::EmbeddedJournal;
use headwater_journal::{RegisterError, RegisterExpect, Registers, Revision};

use super::marks::Marks;
use super::witness::Signs;
use crate::crashes::{Dice, now};

const NAMES: [&str; 4] = ["lease/a", "lease/b", "place/c", "held/d"];

/// All registers, as they must be.
#[derive(Clone, Default)]
pub(super) struct Registry {
    alive: BTreeMap<&'static str, (Revision, Bytes)>,
    revision: u64,
    /// How often something changed, or may have.
    pub(super) changes: u64,
    /// The register of a call that failed, and what it may be now.
    unsure: Option<(&'static str, Option<Bytes>)>,
}

impl Registry {
    pub(super) fn epoch(&self, name: &str) -> Option<u64> {
        let (_, value) = self.alive.get(name)?;
        Some(u64::from_be_bytes(value.get(..8)?.try_into().ok()?))
    }

    /// A register that fences, and the epoch that it has, had or never had.
    pub(super) fn fence(&self, dice: &mut Dice) -> (String, u64) {
        let name = NAMES[dice.index(2)];
        let epoch = self.epoch(name).unwrap_or(1);
        (name.to_owned(), if dice.one_in(4) { epoch.saturating_sub(1) } else { epoch })
    }

    /// One call: mostly a put that holds.
    pub(super) fn call(&mut self, journal: &EmbeddedJournal, dice: &mut Dice, signs: &Signs) -> Result<(), String> {
        let name = NAMES[dice.index(NAMES.len())];
        let known = self.alive.get(name).map(|(revision, _)| *revision);
        let stale = dice.one_in(8);
        if let (Some(revision), true) = (known, dice.one_in(6)) {
            let revision = if stale { Revision(revision.0 + 1) } else { revision };
            let answer = now(journal.delete(name, revision))?;
            return self.heard(name, None, stale, answer.map(|()| None), signs);
        }
        let expect = match (known, stale) {
            (Some(revision), false) => RegisterExpect::Revision(revision),
            (None, false) => RegisterExpect::Absent,
            (Some(_), true) => RegisterExpect::Absent,
            (None, true) => RegisterExpect::Revision(Revision(1)),
        };
        let epoch = self.epoch(name).unwrap_or(0) + 1;
        let value = Bytes::from([&epoch.to_be_bytes()[..], &vec![epoch as u8; dice.index(300)]].concat());
        let answer = now(journal.put(name, expect, value.clone()))?;
        self.heard(name, Some(value), stale, answer.map(Some), signs)
    }

    fn heard(
        &mut self,
        name: &'static str,
        value: Option<Bytes>,
        stale: bool,
        answer: Result<Option<Revision>, RegisterError>,
        signs: &Signs,
    ) -> Result<(), String> {
        match answer {
            Ok(_) if self.unsure.is_some() => Err(format!("register {name} was written after a disk error")),
            Ok(revision) if !stale => {
                self.changes += 1;
                self.revision = revision.map_or(self.revision + 1, |revision| revision.0);
                match (value, revision) {
                    (Some(value), Some(revision)) => drop(self.alive.insert(name, (revision, value))),
                    _ => drop(self.alive.remove(name)),
                }
                Ok(())
            }
            Ok(_) => Err(format!("register {name} took a stale write")),
            Err(RegisterError::Conflict { now }) if stale && now == self.alive.get(name).map(|(revision, _)| *revision) => Ok(()),
            Err(RegisterError::Conflict { now }) => Err(format!("register {name} conflicts at {now:?}")),
            Err(_) if signs.failures() || signs.no_room => {
                self.changes += 1;
                self.unsure.get_or_insert((name, value));
                Ok(())
            }
            Err(error) => Err(format!("register {name}: {error}")),
        }
    }

    /// A call on this register is under way: it may come to this value.
    pub(super) fn is_under_way(&mut self, name: &'static str, value: Bytes) {
        self.unsure = Some((name, Some(value)));
    }

    /// A register has this value.
    pub(super) fn set(&mut self, name: &'static str, revision: Revision, value: Bytes) {
        self.revision = self.revision.max(revision.0);
        self.changes += 1;
        self.alive.insert(name, (revision, value));
    }

    /// The revision of a register that exists.
    pub(super) fn revision(&self, name: &str) -> Option<Revision> {
        self.alive.get(name).map(|(revision, _)| *revision)
    }

    /// Compares with what an opened journal has. What a drive lost is taken as it is, as long as it is something that was written.
    pub(super) fn meet(&mut self, journal: &EmbeddedJournal, spoiled: bool, marks: &mut Marks) -> Result<(), String> {
        let unsure = self.unsure.take();
        self.changes += u64::from(unsure.is_some());
        for name in NAMES {
            let there = now(journal.get(name))?.map_err(|error| error.to_string())?.map(|register| (register.revision, register.value));
            if there == self.alive.get(name).cloned() {
                continue;
            }
            let may_be = unsure.as_ref().is_some_and(|(of, value)| *of == name && there.as_ref().map(|(_, value)| value) == value.as_ref());
            if !may_be && !spoiled {
                return Err(format!("register {name} is {there:?}, and was {:?}", self.alive.get(name)));
            }
            marks.count("register of unknown outcome");
            let newer = there.as_ref().is_none_or(|(revision, _)| revision.0 > self.revision);
            if !newer && !spoiled {
                return Err(format!("register {name} has a revision that was used before"));
            }
            self.changes += 1;
            self.revision = there.as_ref().map_or(self.revision + 1, |(revision, _)| revision.0.max(self.revision));
            match there {
                Some(there) => drop(self.alive.insert(name, there)),
                None => drop(self.alive.remove(name)),
            }
        }
        Ok(())
    }
}
