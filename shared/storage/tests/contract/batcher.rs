//! Coalescing: every item is handled once, in bounded batches, and answered.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use attune_storage::{Batcher, BatcherOptions, Error};
use futures::future::join_all;

fn options(queue_max: usize, batch_max: usize) -> BatcherOptions {
    BatcherOptions {
        queue_max,
        batch_max: NonZeroUsize::new(batch_max).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_items_share_calls_and_get_their_own_answers() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let batcher = Batcher::new(options(1_000, 16), move |items: Vec<usize>| {
        counted.fetch_add(1, Ordering::Relaxed);
        assert!(items.len() <= 16);
        async move {
            tokio::task::yield_now().await;
            items.into_iter().map(|item| item * 2).collect::<Vec<_>>()
        }
    });
    let answers = join_all((0..500).map(|i| batcher.submit(i))).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, (0..500).map(|i| i * 2).collect::<Vec<_>>());
    assert!(calls.load(Ordering::Relaxed) < 500);
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let batcher = Batcher::new(options(3, 8), async |items: Vec<u8>| items);
    let answers = join_all((0..10).map(|i| batcher.submit(i))).await;
    let refused = answers
        .iter()
        .filter(|a| matches!(a, Err(Error::Overloaded)));
    assert_eq!(refused.count(), 7);
}

#[tokio::test]
async fn a_panic_is_told_and_the_next_batch_works() {
    let batcher = Batcher::new(options(8, 1), |items: Vec<u8>| async move {
        assert_ne!(items[0], 1, "on purpose");
        items
    });
    let answers = join_all([1, 2].map(|i| batcher.submit(i))).await;
    assert!(matches!(answers[0], Err(Error::Panicked)));
    assert_eq!(*answers[1].as_ref().unwrap(), 2);
}

#[tokio::test]
async fn closing_handles_what_is_queued() {
    let batcher = Batcher::new(options(8, 2), |items: Vec<u8>| async move { items });
    let submitted = join_all((0..5).map(|i| batcher.submit(i)));
    let (answers, ()) = tokio::join!(submitted, batcher.close());
    assert!(answers.iter().all(Result::is_ok));
    assert!(matches!(batcher.submit(9).await, Err(Error::Closed)));
}
