//! A duty's post: waiting until it is this node's, and the lease that says so.
//!
//! ```text
//! lease/{duty}[/{share}]   epoch u64 big-endian | JSON { owner }
//! ```
//!
//! A consumer's lease holds its place too, and is written by `delivery`; it names its owner in the same way.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use journal::{Register, RegisterError, RegisterExpect, Registers, Revision, epoch_of};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{DutySight, LEASES, Nodes, Seen, Share};
use crate::delivery::stopped;
use crate::limits::{ENGINE_RETRY_MAX, ENGINE_RETRY_MIN, NODE_LOOK};

/// See the module.
pub(crate) struct Post {
    nodes: Arc<Nodes>,
    duty: String,
    share: Share,
    seen: watch::Receiver<Arc<Seen>>,
    /// How often the node had stood still when it took the duty.
    held_since: Option<u64>,
    /// Whether it was found that this node is to go on with the duty, by what `seen` has seen.
    goes_on: bool,
}

impl Post {
    pub(super) fn new(nodes: Arc<Nodes>, duty: &str, share: Share) -> Self {
        let seen = nodes.seen.subscribe();
        Self { nodes, duty: duty.to_owned(), share, seen, held_since: None, goes_on: false }
    }

    /// What a lease names its owner by; nothing on an engine that one process has alone.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.nodes.is_shared().then_some(&*self.nodes.name)
    }

    /// Whether this node is to have the duty.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.nodes.is_shared() || self.seen.borrow().wants(&self.nodes.name, &self.duty, self.share)
    }

    /// Resolves when this node is to have the duty.
    pub(crate) async fn wanted(&mut self) {
        if self.nodes.is_shared() {
            self.goes_on = false;
            // The sender is with the nodes, which are ours.
            let _ = self.seen.wait_for(|seen| seen.wants(&self.nodes.name, &self.duty, self.share)).await;
        }
    }

    /// Resolves when it is to have it no more. A consumer asks before each event, and who is there changes seldom: it is looked at when it has.
    pub(crate) async fn unwanted(&mut self) {
        if !self.nodes.is_shared() {
            return std::future::pending().await;
        }
        // The sender is with the nodes, which are ours.
        while !self.goes_on || self.seen.has_changed().unwrap_or(false) || self.seen.changed().await.is_ok() {
            let seen = self.seen.borrow_and_update();
            let has_stood_still = self.held_since.is_some_and(|since| since != seen.standstills);
            self.goes_on = !has_stood_still && seen.wants(&self.nodes.name, &self.duty, self.share);
            if !self.goes_on {
                return;
            }
        }
    }

    /// Whether a lease may be taken that names this owner.
    pub(crate) fn may_take(&self, owner: Option<&str>) -> bool {
        let Some(owner) = owner else { return true };
        !self.nodes.is_shared() || owner == self.nodes.name || !self.seen.borrow().has(owner)
    }

    /// Waits until it is worth looking again whether the lease is free.
    pub(crate) async fn rest(&mut self) {
        self.goes_on = false;
        let nodes = Arc::clone(&self.nodes);
        nodes.rest(&mut self.seen, NODE_LOOK).await;
    }

    /// Waits until the duty is this node's, and takes it.
    pub(crate) async fn hold(&mut self) -> Lease {
        let Some(shared) = &self.nodes.shared else { return Lease(None) };
        let (registers, tasks) = (Arc::clone(&shared.registers), Arc::clone(&shared.tasks));
        let (name, mut wait) = (lease_of(&self.duty, self.share), ENGINE_RETRY_MIN);
        loop {
            self.wanted().await;
            self.held_since = Some(self.seen.borrow().standstills);
            match self.take(&registers, &name).await {
                Ok(Some(lease)) => return lease,
                Ok(None) => self.rest().await,
                Err(_) => {
                    tasks.sleep(wait).await;
                    wait = (wait * 2).min(ENGINE_RETRY_MAX);
                }
            }
        }
    }

    async fn take(&self, registers: &Arc<dyn Registers>, name: &str) -> Result<Option<Lease>, RegisterError> {
        let found = registers.get(name).await?;
        let kept = found.as_ref().map(decode).transpose()?;
        if !self.may_take(kept.as_ref().and_then(|kept| kept.owner.as_deref())) {
            return Ok(None);
        }
        let expect = found.map_or(RegisterExpect::Absent, |register| RegisterExpect::Revision(register.revision));
        let kept = Kept { epoch: kept.map_or(0, |kept| kept.epoch) + 1, owner: Some(self.nodes.name.clone()) };
        match registers.put(name, expect, kept.encode()).await {
            Ok(revision) => {
                let registers = Arc::clone(registers);
                Ok(Some(Lease(Some(Held { registers, name: name.to_owned(), epoch: kept.epoch, revision }))))
            }
            // Another one was quicker.
            Err(RegisterError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Has something done while the duty is this node's, until a stop. The work is told when it must end, and ends everything that it has begun.
pub(crate) async fn while_held<Work: Future<Output = ()> + Send>(
    mut post: Post,
    mut stop: watch::Receiver<bool>,
    mut work: impl FnMut(watch::Receiver<bool>, u64) -> Work + Send,
) {
    while !*stop.borrow() {
        let lease = tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            lease = post.hold() => lease,
        };
        let (ending, ends) = watch::channel(false);
        let tell = async {
            tokio::select! {
                () = stopped(&mut stop) => {}
                () = post.unwanted() => {}
            }
            ending.send_replace(true);
            std::future::pending::<()>().await;
        };
        let work = work(ends, lease.epoch());
        tokio::select! {
            biased;
            () = work => {}
            () = tell => {}
        }
        lease.give_up(&post, &stop).await;
    }
}

/// The register of a duty's lease.
pub(crate) fn lease_of(duty: &str, share: Share) -> String {
    format!("{LEASES}{duty}{}", share.suffix())
}

/// A duty that this node has.
pub(crate) struct Lease(Option<Held>);

struct Held {
    registers: Arc<dyn Registers>,
    name: String,
    epoch: u64,
    revision: Revision,
}

impl Lease {
    /// How often the duty has changed hands; what is written for it elsewhere goes by it.
    pub(crate) fn epoch(&self) -> u64 {
        self.0.as_ref().map_or(0, |held| held.epoch)
    }

    /// Gives the duty up, once all that was done for it has ended. While that fails nobody else may take it: so it is tried until it is done, or
    /// another one has it, or it is to be this node's again, or the node is gone, which gives up all it has.
    pub(crate) async fn give_up(self, post: &Post, stop: &watch::Receiver<bool>) {
        let (Some(held), Some(shared)) = (self.0, &post.nodes.shared) else { return };
        let kept = Kept { epoch: held.epoch, owner: None };
        loop {
            match held.registers.put(&held.name, RegisterExpect::Revision(held.revision), kept.encode()).await {
                Ok(_) | Err(RegisterError::Conflict { .. }) => return,
                Err(_) if *stop.borrow() || post.is_wanted() => return,
                Err(_) => shared.tasks.sleep(ENGINE_RETRY_MIN).await,
            }
        }
    }
}

struct Kept {
    epoch: u64,
    owner: Option<String>,
}

/// What every lease says of its owner, whatever else it says.
#[derive(Serialize, Deserialize)]
struct Owner {
    #[serde(default)]
    owner: Option<String>,
}

impl Kept {
    fn encode(&self) -> Bytes {
        let mut bytes = self.epoch.to_be_bytes().to_vec();
        serde_json::to_writer(&mut bytes, &Owner { owner: self.owner.clone() }).expect("texts always encode");
        bytes.into()
    }
}

fn decode(register: &Register) -> Result<Kept, RegisterError> {
    let read = || -> Option<Kept> {
        let Owner { owner } = serde_json::from_slice(register.value.get(8..)?).ok()?;
        Some(Kept { epoch: epoch_of(&register.value)?, owner })
    };
    read().ok_or_else(|| RegisterError::Unavailable { cause: format!("register {} is not readable by this version", register.name) })
}

/// All leases that somebody has: of consumers, and of other duties.
pub(super) async fn all(registers: &Arc<dyn Registers>) -> Result<Vec<(String, DutySight)>, RegisterError> {
    let (consumers, others) = (registers.list(crate::delivery::LEASES).await?, registers.list(LEASES).await?);
    let others = others.iter().map(|register| (&register.name[LEASES.len()..], register));
    let all = consumers.iter().map(|register| (&*register.name, register)).chain(others);
    let owned = all.filter_map(|(name, register)| {
        let kept = decode(register).ok()?;
        let (duty, share) = parts(name);
        Some((kept.owner?, DutySight { duty: duty.to_owned(), share, epoch: kept.epoch }))
    });
    Ok(owned.collect())
}

/// A duty, and which share of it, by what its lease is called.
pub(crate) fn parts(name: &str) -> (&str, Option<u16>) {
    let cut = name.rsplit_once('/').filter(|(_, last)| last.len() == 2);
    match cut.and_then(|(duty, last)| Some((duty, last.parse().ok()?))) {
        Some((duty, share)) => (duty, Some(share)),
        None => (name, None),
    }
}
