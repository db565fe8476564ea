//! Messages that a run publishes to topics of its own service.

use component::hosted::{ActionTarget, SendFailure, SentCommand};

use super::{Door, failure};
use crate::topic::OwnMessage;

impl Door {
    /// Under an id that is the same at every run, so that a run that comes again publishes nothing twice.
    pub(super) async fn publish(&self, command: SentCommand) -> Result<Vec<u8>, SendFailure> {
        let SentCommand { target: ActionTarget::Topic { topic, key }, body, key: own } = command else {
            unreachable!("others have ways of their own")
        };
        let (id, context) = (self.id(&own), &self.source.context);
        let stamp = self.source.waiting.as_ref().map(|waiting| waiting.whose().at);
        let message = OwnMessage { topic, key, data: body.into(), id: &id, context, stamp };
        self.reach.topics.publish_own(message).await.map(|_| b"null".to_vec()).map_err(failure)
    }
}
