//! A node's heart: it writes its register once a second, and looks whether those of others have moved.
//!
//! Another one is there as long as its register has moved within its time, on the clock of who looks. This one is heard as long as it has
//! written its own within that time: one that cannot reach the engine, or was stopped for a while, does nothing more until it can.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use journal::{RegisterError, RegisterExpect, Revision, Timestamp};

use super::record::Record;
use super::{Nodes, PREFIX, Seen, Shared};
use crate::delivery::stopped;
use crate::limits::{NODE_BEAT, NODE_FORGET, NODE_LOOK, NODE_TIME};

/// See the module.
pub(super) struct Beat {
    nodes: Arc<Nodes>,
    started: Timestamp,
    beats: u64,
    /// Of its own register, as it was written last.
    revision: Option<Revision>,
    /// When that was.
    written: Duration,
    /// Since when each register has stood still.
    known: HashMap<String, (Revision, Duration)>,
    /// Another process has this name.
    is_superseded: bool,
    /// When it looked last, by both clocks: one of them goes on when the machine is suspended.
    looked: (Duration, Timestamp),
    standstills: u64,
}

impl Beat {
    /// Writes the register, and looks for the first time: whoever is not known to be gone is there.
    pub(super) async fn begin(nodes: Arc<Nodes>) -> Result<Self, RegisterError> {
        let shared = shared_of(&nodes);
        let (started, written) = (shared.clock.now(), shared.tasks.elapsed());
        let mut beat = Self {
            started,
            beats: 0,
            revision: None,
            written,
            known: HashMap::new(),
            is_superseded: false,
            looked: (written, started),
            standstills: 0,
            nodes,
        };
        // One of before under the same name is gone: there is this one now.
        let name = beat.register();
        beat.revision = shared_of(&beat.nodes).registers.get(&name).await?.map(|register| register.revision);
        beat.write().await?;
        beat.look().await?;
        Ok(beat)
    }

    /// Goes on until the node is gone.
    pub(super) async fn run(mut self) {
        let (nodes, mut stop) = (Arc::clone(&self.nodes), self.nodes.stop.subscribe());
        let shared = shared_of(&nodes);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                () = nodes.changed.notified() => self.written = Duration::ZERO.max(self.written.saturating_sub(NODE_BEAT)),
                () = shared.tasks.sleep(NODE_LOOK) => {}
            }
            // An engine that does not answer must not keep it from giving up in time.
            let left = (self.written + NODE_TIME).saturating_sub(shared.tasks.elapsed()).max(NODE_LOOK);
            let is_over = tokio::select! {
                biased;
                () = self.turn(shared) => false,
                () = shared.tasks.sleep(left) => true,
            };
            if is_over {
                self.tell_unheard(shared);
            }
        }
        if let (Some(revision), false) = (self.revision, self.is_superseded) {
            // One that stays is seen to stand still.
            let _ = shared.registers.delete(&self.register(), revision).await;
        }
        nodes.gone.send_replace(true);
    }

    async fn turn(&mut self, shared: &Shared) {
        if self.has_stood_still(shared) {
            // Others may have what it had: it gives all up, and takes what is its own again.
            self.standstills += 1;
            let seen = Seen { is_heard: false, standstills: self.standstills, ..Seen::clone(&self.nodes.seen.borrow()) };
            self.tell(seen);
        }
        let is_due = shared.tasks.elapsed().saturating_sub(self.written) >= NODE_BEAT;
        if is_due && !self.is_superseded {
            // What fails is tried again with the next look; until then the node is heard by what it wrote last.
            let _ = self.write().await;
        }
        if self.look().await.is_err() {
            self.tell_unheard(shared);
        }
    }

    /// Whether nobody can have heard of it for its time: the process was stopped, or the engine was away.
    fn has_stood_still(&self, shared: &Shared) -> bool {
        let wall = shared.clock.now().as_micros().saturating_sub(self.looked.1.as_micros());
        let still = shared.tasks.elapsed().saturating_sub(self.looked.0).max(Duration::from_micros(wall.max(0).unsigned_abs()));
        still >= NODE_TIME
    }

    async fn write(&mut self) -> Result<(), RegisterError> {
        let nodes = Arc::clone(&self.nodes);
        let shared = shared_of(&nodes);
        let record = Record { beats: self.beats, ..nodes.record(shared, self.started) };
        let begun = shared.tasks.elapsed();
        let expect = self.revision.map_or(RegisterExpect::Absent, RegisterExpect::Revision);
        match shared.registers.put(&self.register(), expect, record.encode()).await {
            Ok(revision) => {
                (self.revision, self.written, self.beats) = (Some(revision), begun, self.beats + 1);
                Ok(())
            }
            Err(error @ RegisterError::Conflict { .. }) => {
                self.find_out(shared).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The register is not as it was written: its answer was lost, or others have forgotten this node, or there is another one of its name.
    async fn find_out(&mut self, shared: &Shared) -> Result<(), RegisterError> {
        let found = shared.registers.get(&self.register()).await?;
        let theirs = found.as_ref().and_then(|register| Record::decode(&register.value));
        self.revision = found.map(|register| register.revision);
        if theirs.is_some_and(|record| record.incarnation != shared.incarnation) {
            self.is_superseded = true;
            let name = &self.nodes.name;
            (shared.notices)(&format!(
                "another process has begun as node {name}: this one gives up all that it does; give each node a name of its own"
            ));
        }
        Ok(())
    }

    /// Looks who is there, and tells it.
    async fn look(&mut self) -> Result<(), RegisterError> {
        let nodes = Arc::clone(&self.nodes);
        let shared = shared_of(&nodes);
        let registers = shared.registers.list(PREFIX).await?;
        let now = shared.tasks.elapsed();
        if now.saturating_sub(self.looked.0) >= NODE_LOOK * 3 {
            // It has not looked for a while: whether others have stood still it does not know.
            self.known.values_mut().for_each(|known| known.1 = now);
        }
        self.looked = (now, shared.clock.now());
        self.known.retain(|name, _| registers.iter().any(|register| register.name == *name));
        let mut alive = Vec::new();
        for register in registers {
            let known = self.known.entry(register.name.clone()).or_insert((register.revision, now));
            if known.0 != register.revision {
                *known = (register.revision, now);
            }
            let (still, name) = (now.saturating_sub(known.1), register.name[PREFIX.len()..].to_owned());
            let is_this = name == nodes.name;
            if still >= NODE_FORGET && !is_this {
                let _ = shared.registers.delete(&register.name, register.revision).await;
            }
            if let Some(record) = Record::decode(&register.value)
                && if is_this { self.is_heard(now) } else { still < NODE_TIME }
            {
                alive.push((name, record));
            }
        }
        self.tell(Seen { alive, is_heard: self.is_heard(now), standstills: self.standstills });
        Ok(())
    }

    fn is_heard(&self, now: Duration) -> bool {
        !self.is_superseded && now.saturating_sub(self.written) < NODE_TIME
    }

    /// The engine does not answer: nobody else is seen, and this one only as long as it is heard.
    fn tell_unheard(&self, shared: &Shared) {
        if !self.is_heard(shared.tasks.elapsed()) {
            let seen = Seen { is_heard: false, ..Seen::clone(&self.nodes.seen.borrow()) };
            self.tell(seen);
        }
    }

    fn tell(&self, seen: Seen) {
        self.nodes.seen.send_if_modified(|known| {
            let has_changed = known.differs(&seen);
            if has_changed {
                *known = Arc::new(seen);
            }
            has_changed
        });
    }

    fn register(&self) -> String {
        format!("{PREFIX}{}", self.nodes.name)
    }
}

impl Seen {
    /// Whether it says otherwise who can do what.
    fn differs(&self, other: &Self) -> bool {
        let same = |one: &Record, two: &Record| (&one.duties, one.leaving) == (&two.duties, two.leaving);
        let all = self.alive.iter().zip(&other.alive);
        self.is_heard != other.is_heard
            || self.standstills != other.standstills
            || self.alive.len() != other.alive.len()
            || all.into_iter().any(|(one, two)| one.0 != two.0 || !same(&one.1, &two.1))
    }
}

fn shared_of(nodes: &Nodes) -> &Shared {
    nodes.shared.as_ref().expect("a heart beats among others only")
}
