//! What the doors may do with consumers of clients, which pull.

use std::time::Duration;

use journal::{Context, CursorError, ReadError, RegisterError};

use super::{Runtime, kinds_of};
use crate::delivery::LEASES;
use crate::limits::{HANDED_OUT_WAIT, RELAY_LOOK};
use crate::node::NodeSight;
use crate::pull::{ConsumerError, ConsumerReads, ConsumerSetup, ConsumerSight, ConsumerStart, DeliveryWord, PulledDelivery, SetUp};

impl Runtime {
    /// Sets a client's consumer up, or otherwise: what is out when it changes comes again.
    ///
    /// # Errors
    /// See [`ConsumerError`].
    pub async fn set_up_consumer(&self, name: &str, setup: ConsumerSetup, context: &Context) -> Result<SetUp, ConsumerError> {
        let _permit = self.admission.enter().map_err(|_| ConsumerError::Stopping)?;
        if let (ConsumerReads::Types(types), ConsumerStart::Cursor(text)) = (&setup.reads, &setup.start)
            && let Ok(cursor) = text.parse()
            && let Some(first) = self.retention.gone_before(&kinds_of(types), cursor).await.map_err(ConsumerError::Read)?
        {
            return Err(ConsumerError::Read(ReadError::Cursor(CursorError::Gone { first })));
        }
        self.learn_consumers().await?;
        self.pulled.set_up(&self.delivery, name, setup, context).await
    }

    /// Removes a client's consumer, with its place.
    ///
    /// # Errors
    /// See [`ConsumerError`].
    pub async fn remove_consumer(&self, name: &str, context: &Context) -> Result<(), ConsumerError> {
        let _permit = self.admission.enter().map_err(|_| ConsumerError::Stopping)?;
        self.learn_consumers().await?;
        self.pulled.remove(&self.delivery, name, context).await
    }

    /// Clients may have set consumers up at other nodes.
    async fn learn_consumers(&self) -> Result<(), ConsumerError> {
        if self.nodes().is_shared() { Ok(self.pulled.learn(&self.delivery).await?) } else { Ok(()) }
    }

    /// A client's consumer as it is now.
    ///
    /// # Errors
    /// When there is none.
    pub fn consumer_sight(&self, name: &str) -> Result<ConsumerSight, ConsumerError> {
        self.pulled.sight(&self.delivery, name)
    }

    /// Up to `max` deliveries of a client's consumer; waits for the first one, at most so long.
    ///
    /// # Errors
    /// See [`ConsumerError`].
    pub async fn pull(&self, consumer: &str, max: usize, wait: Duration) -> Result<Vec<PulledDelivery>, ConsumerError> {
        self.check_is_here(consumer).await?;
        self.pulled.pull(&self.delivery, consumer, max, wait).await
    }

    /// Takes a client's word for deliveries; gives for how many. Those that are not out are named in the error, and the others
    /// are done all the same.
    ///
    /// # Errors
    /// See [`ConsumerError`].
    pub async fn say(&self, consumer: &str, deliveries: &[String], word: DeliveryWord) -> Result<usize, ConsumerError> {
        self.check_is_here(consumer).await?;
        self.pulled.say(consumer, deliveries, word)
    }

    /// A client's consumer is at one node; whoever asks another one is told which.
    async fn check_is_here(&self, consumer: &str) -> Result<(), ConsumerError> {
        let tasks = self.delivery.tasks();
        let until = tasks.elapsed() + HANDED_OUT_WAIT;
        while self.nodes().is_shared() && !self.pulled.is_here(&self.delivery, consumer)? {
            let owner = self.owner_of(consumer).await?;
            if owner.is_some() || tasks.elapsed() >= until {
                let (node, address) = owner.map_or((None, None), |owner| (Some(owner.name), owner.address));
                return Err(ConsumerError::Elsewhere { node, address });
            }
            // It is on its way: one that was set up just now, or whose node has gone.
            tasks.sleep(RELAY_LOOK).await;
        }
        Ok(())
    }

    /// The other node that has a client's consumer.
    async fn owner_of(&self, consumer: &str) -> Result<Option<NodeSight>, ConsumerError> {
        let failed = |error: RegisterError| ConsumerError::Failed { cause: error.to_string() };
        let (duty, nodes) = (format!("{LEASES}{consumer}"), self.node_sights().await.map_err(failed)?);
        Ok(nodes.into_iter().find(|node| !node.is_this && node.duties.iter().any(|has| has.duty == duty)))
    }
}
