//! What a workflow waits for, as a future.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::board::{Board, Wish};
use crate::hosted::Told;

/// An operation on its way. It is asked for when it is polled first; whoever drops it does not wait for it any more.
pub(super) struct Operation {
    board: Arc<Board>,
    wish: Option<Wish>,
    number: Option<u32>,
}

impl Operation {
    pub(super) fn new(board: Arc<Board>, wish: Wish) -> Self {
        Self { board, wish: Some(wish), number: None }
    }
}

impl Future for Operation {
    type Output = Told;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Told> {
        if let Some(wish) = self.wish.take() {
            self.number = self.board.ask(wish);
        }
        // One that was refused never ends: the whole workflow has.
        let Some(number) = self.number else { return Poll::Pending };
        let polled = self.board.poll(number, context.waker());
        if polled.is_ready() {
            self.number = None;
        }
        polled
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.board.withdraw(number);
        }
    }
}
