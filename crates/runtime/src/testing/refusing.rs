//! Registers that do not do what they are asked, for as long as a test says so.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use journal::{BoxFuture, Fence, Register, RegisterError, RegisterExpect, RegisterWatch, Registers, Revision};
use tokio::sync::watch;

/// What becomes of calls about registers whose names begin with a text.
#[derive(Clone, Copy)]
pub(crate) enum Trouble {
    /// They fail.
    Fails(&'static str),
    /// They have no answer before it is over; then they have failed.
    Hangs(&'static str),
}

/// See the module.
pub(crate) struct Refusing {
    inner: Arc<dyn Registers>,
    trouble: watch::Sender<Option<Trouble>>,
}

impl Refusing {
    pub(crate) fn new(inner: Arc<dyn Registers>) -> Self {
        Self { inner, trouble: watch::Sender::new(None) }
    }

    /// From now on, until it is said otherwise.
    pub(crate) fn meets(&self, trouble: Option<Trouble>) {
        self.trouble.send_replace(trouble);
    }

    fn unless_troubled<'a, T: Send + 'a>(
        &'a self,
        name: &str,
        call: impl FnOnce(&'a dyn Registers) -> BoxFuture<'a, Result<T, RegisterError>>,
    ) -> BoxFuture<'a, Result<T, RegisterError>> {
        let failed = || Err(RegisterError::Unavailable { cause: "as planned".to_owned() });
        let trouble = *self.trouble.borrow();
        match trouble {
            Some(Trouble::Fails(prefix)) if name.starts_with(prefix) => Box::pin(ready(failed())),
            Some(Trouble::Hangs(prefix)) if name.starts_with(prefix) => Box::pin(async move {
                let _over = self.trouble.subscribe().wait_for(Option::is_none).await.is_ok();
                failed()
            }),
            _ => call(&*self.inner),
        }
    }
}

impl Registers for Refusing {
    fn get(&self, name: &str) -> BoxFuture<'_, Result<Option<Register>, RegisterError>> {
        self.unless_troubled(name, |inner| inner.get(name))
    }

    fn put(&self, name: &str, expect: RegisterExpect, value: Bytes) -> BoxFuture<'_, Result<Revision, RegisterError>> {
        self.unless_troubled(name, |inner| inner.put(name, expect, value))
    }

    fn delete(&self, name: &str, revision: Revision) -> BoxFuture<'_, Result<(), RegisterError>> {
        self.unless_troubled(name, |inner| inner.delete(name, revision))
    }

    fn put_fenced(
        &self,
        fence: &Fence,
        name: &str,
        expect: RegisterExpect,
        value: Bytes,
    ) -> BoxFuture<'_, Result<Revision, RegisterError>> {
        self.unless_troubled(name, |inner| inner.put_fenced(fence, name, expect, value))
    }

    fn delete_fenced(&self, fence: &Fence, name: &str, revision: Revision) -> BoxFuture<'_, Result<(), RegisterError>> {
        self.unless_troubled(name, |inner| inner.delete_fenced(fence, name, revision))
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<Register>, RegisterError>> {
        self.unless_troubled(prefix, |inner| inner.list(prefix))
    }

    fn watch(&self, prefix: &str) -> Box<dyn RegisterWatch> {
        self.inner.watch(prefix)
    }
}
