//! The load: clients that each wait for the answer to a command before they send the next one.
//!
//! Which cart is next follows from a client's number and its phase alone, so that every side gets the same commands. The clock of a command
//! begins before it is built.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Outcome;
use crate::statistics::{Dice, Latencies};

/// What has just been opened gets a load that does not count, of this part of a round.
const WARM_UP_PART: u32 = 5;

/// One command.
pub(crate) struct Command {
    /// The number of its cart.
    pub(crate) cart: usize,
    /// A name that no other command of its side and round has.
    pub(crate) id: String,
}

/// Whoever sends commands.
pub(crate) trait Client: Send + 'static {
    /// Sends a command and waits until it is committed.
    fn send(&mut self, command: Command) -> impl Future<Output = Outcome<()>> + Send;
}

/// What was acknowledged.
pub(crate) struct Acknowledged {
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Latencies,
    /// With those of the warm-up.
    pub(crate) commands: u64,
}

impl Acknowledged {
    /// Commands a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.count() as f64 / self.elapsed.as_secs_f64()
    }
}

/// How much of it.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) round: Duration,
    /// Carts that commands go to, at random.
    pub(crate) carts: usize,
}

/// Loads a side for a round, behind a warm-up.
pub(crate) async fn load<C: Client>(clients: Vec<C>, of: Load) -> Outcome<Acknowledged> {
    let (warm_up, clients) = phase(clients, 0, Load { round: of.round / WARM_UP_PART, ..of }).await?;
    let (mut counted, _) = phase(clients, 1, of).await?;
    counted.commands += warm_up.commands;
    Ok(counted)
}

async fn phase<C: Client>(clients: Vec<C>, phase: usize, of: Load) -> Outcome<(Acknowledged, Vec<C>)> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        tasks.spawn(sending(client, (phase, number), begun + of.round, of.carts));
    }
    let (mut latencies, mut clients) = (Latencies::new(), Vec::new());
    while let Some(ended) = tasks.join_next().await {
        let (of_client, client) = ended.map_err(|_| "a client panicked; its message stands above")??;
        latencies.merge(&of_client);
        clients.push(client);
    }
    Ok((Acknowledged { elapsed: begun.elapsed(), commands: latencies.count(), latencies }, clients))
}

async fn sending<C: Client>(mut client: C, (phase, number): (usize, usize), until: Instant, carts: usize) -> Outcome<(Latencies, C)> {
    let (mut dice, mut latencies) = (Dice::new((phase * 1_000 + number + 1) as u64), Latencies::new());
    for nth in 0_u64.. {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        client.send(Command { cart: dice.roll(carts), id: format!("{phase}.{number}.{nth}") }).await?;
        latencies.add(begun.elapsed());
    }
    Ok((latencies, client))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::{Client, Command, Load, load};
    use crate::Outcome;

    #[derive(Clone, Default)]
    struct Noting {
        ids: Arc<Mutex<BTreeSet<String>>>,
        fails: bool,
    }

    impl Client for Noting {
        async fn send(&mut self, command: Command) -> Outcome<()> {
            tokio::task::yield_now().await;
            assert!(self.ids.lock().expect("no client panics").insert(command.id), "no name is used twice");
            if self.fails { Err("refused".into()) } else { Ok(()) }
        }
    }

    const SHORT: Load = Load { round: Duration::from_millis(20), carts: 10 };

    #[tokio::test]
    async fn what_was_sent_is_counted_and_a_refusal_ends_the_load() {
        let client = Noting::default();
        let loaded = load(vec![client.clone(), client.clone()], SHORT).await.expect("nothing fails");
        assert_eq!(loaded.commands, client.ids.lock().expect("no client panics").len() as u64);
        assert!(loaded.latencies.count() < loaded.commands, "the warm-up does not count");
        let refused = load(vec![Noting { fails: true, ..Noting::default() }], SHORT).await;
        assert_eq!(refused.err().expect("it was refused").to_string(), "refused");
    }
}
