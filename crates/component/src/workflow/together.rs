//! Several waits at once. They are begun, and looked at, in the order in which they stand, so that a workflow that is brought back does
//! the same again.

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

/// Which of two came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first one.
    First(A),
    /// The second one.
    Second(B),
}

/// Waits for both. Both are under way at once.
pub async fn join<A: IntoFuture, B: IntoFuture>(first: A, second: B) -> (A::Output, B::Output) {
    let (mut first, mut second) = (pin!(first.into_future()), pin!(second.into_future()));
    let (mut ours, mut theirs) = (None, None);
    poll_fn(|context| {
        if ours.is_none()
            && let Poll::Ready(output) = first.as_mut().poll(context)
        {
            ours = Some(output);
        }
        if theirs.is_none()
            && let Poll::Ready(output) = second.as_mut().poll(context)
        {
            theirs = Some(output);
        }
        match (ours.take(), theirs.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (first, second) => {
                (ours, theirs) = (first, second);
                Poll::Pending
            }
        }
    })
    .await
}

/// Waits for all of them; their outputs stand in the same order.
pub async fn join_all<I: IntoIterator>(all: I) -> Vec<<I::Item as IntoFuture>::Output>
where
    I::Item: IntoFuture,
{
    let mut waits: Vec<_> = boxed(all).into_iter().map(Some).collect();
    let mut outputs: Vec<Option<_>> = waits.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (wait, output) in waits.iter_mut().zip(&mut outputs) {
            let Some(Poll::Ready(ended)) = wait.as_mut().map(|wait| wait.as_mut().poll(context)) else { continue };
            (*wait, *output) = (None, Some(ended));
        }
        if waits.iter().any(Option::is_some) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

/// Waits for one of the two. The other one is not waited for any more: a time or a signal is let go of, a step that has begun ends, and is
/// undone with the rest when the workflow fails.
pub async fn race<A: IntoFuture, B: IntoFuture>(first: A, second: B) -> Either<A::Output, B::Output> {
    let (mut first, mut second) = (pin!(first.into_future()), pin!(second.into_future()));
    poll_fn(|context| {
        if let Poll::Ready(output) = first.as_mut().poll(context) {
            return Poll::Ready(Either::First(output));
        }
        second.as_mut().poll(context).map(Either::Second)
    })
    .await
}

/// Waits for one of them, and says which it was. Of none, it waits for ever.
pub async fn race_all<I: IntoIterator>(all: I) -> (usize, <I::Item as IntoFuture>::Output)
where
    I::Item: IntoFuture,
{
    let mut waits = boxed(all);
    poll_fn(|context| {
        let first = waits.iter_mut().enumerate().find_map(|(at, wait)| match wait.as_mut().poll(context) {
            Poll::Ready(output) => Some((at, output)),
            Poll::Pending => None,
        });
        first.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

fn boxed<I: IntoIterator>(all: I) -> Vec<Pin<Box<<I::Item as IntoFuture>::IntoFuture>>>
where
    I::Item: IntoFuture,
{
    all.into_iter().map(|wait| Box::pin(wait.into_future())).collect()
}
