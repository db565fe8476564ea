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
        let (id, context) = (self.message_id(&own), &self.source.context);
        let stamp = self.source.waiting.as_ref().map(|waiting| waiting.whose().at);
        let message = OwnMessage { topic, key, data: body.into(), id: &id, context, stamp };
        self.reach.topics.publish_own(message).await.map(|_| b"null".to_vec()).map_err(failure)
    }

    /// A topic is of all tenants, and two of them may have a workflow of one id.
    fn message_id(&self, own: &str) -> String {
        match &*self.source.tenant {
            "" => self.id(own),
            tenant => format!("\0{tenant}\0{}", self.id(own)),
        }
    }
}
