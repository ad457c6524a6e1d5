//! One statement for what many ask for at once.
//!
//! A commit waits for the disk. While one is under way what else is asked for gathers, and the next statement writes
//! all of it: a burst waits for two commits, however many it holds.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

/// How many rows a statement has at most.
const ROWS_MAX: usize = 500;

/// Rows that wait to be written, each with whoever waits for it.
#[derive(Debug)]
pub struct GroupCommit<T, R> {
    queue: Arc<Mutex<Queue<T, R>>>,
}

#[derive(Debug)]
struct Queue<T, R> {
    waiting: Vec<(T, oneshot::Sender<R>)>,
    is_writing: bool,
}

impl<T: Send + 'static, R: Send + 'static> GroupCommit<T, R> {
    /// What `write` says of `row`, which it gets together with whatever else waits; it says one thing of each, in their
    /// order. `None` where it broke off. Who waits no longer has nothing written.
    pub async fn write<Written>(
        &self,
        row: T,
        write: impl Fn(Vec<T>) -> Written + Send + 'static,
    ) -> Option<R>
    where
        Written: Future<Output = Vec<R>> + Send,
    {
        let (tell, told) = oneshot::channel();
        let is_first = {
            let mut queue = lock(&self.queue);
            queue.waiting.push((row, tell));
            !std::mem::replace(&mut queue.is_writing, true)
        };
        if is_first {
            // A task of its own: whoever came first may give up waiting, and the others go on.
            let queue = self.queue.clone();
            tokio::spawn(async move {
                while let Some(batch) = next(&queue) {
                    let (rows, tell): (Vec<T>, Vec<_>) = batch.into_iter().unzip();
                    // Nothing outlives a panic but the queue, which is whole at all times.
                    let written = AssertUnwindSafe(write(rows)).catch_unwind().await;
                    for (tell, written) in tell.into_iter().zip(written.unwrap_or_default()) {
                        let _ = tell.send(written);
                    }
                }
            });
        }
        told.await.ok()
    }
}

/// What is written next; `None` when nobody waits, and whoever comes then is the first.
fn next<T, R>(queue: &Mutex<Queue<T, R>>) -> Option<Vec<(T, oneshot::Sender<R>)>> {
    let mut queue = lock(queue);
    queue.waiting.retain(|(_, tell)| !tell.is_closed());
    let rows = queue.waiting.len().min(ROWS_MAX);
    queue.is_writing = rows > 0;
    queue.is_writing.then(|| queue.waiting.drain(..rows).collect())
}

fn lock<T, R>(queue: &Mutex<Queue<T, R>>) -> MutexGuard<'_, Queue<T, R>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T, R> Default for GroupCommit<T, R> {
    fn default() -> GroupCommit<T, R> {
        let queue = Queue { waiting: Vec::new(), is_writing: false };
        GroupCommit { queue: Arc::new(Mutex::new(queue)) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    /// Writes what it gets once `may` lets it, and tells of each row with how many others it was written.
    async fn write_when(may: Arc<Semaphore>, rows: Vec<usize>) -> Vec<(usize, usize)> {
        may.acquire().await.unwrap().forget();
        let count = rows.len();
        rows.into_iter().map(|it| (it, count)).collect()
    }

    #[tokio::test]
    async fn what_comes_while_one_is_written_is_written_together() {
        let (group, may) = (GroupCommit::default(), Arc::new(Semaphore::new(0)));
        let write = |row| {
            let may = may.clone();
            group.write(row, move |rows| write_when(may.clone(), rows))
        };
        let rows = ROWS_MAX + 2;
        let (written, ()) = tokio::join!(join_all((0..rows).map(write)), async {
            // By now the first is under way, and what comes meanwhile waits.
            tokio::task::yield_now().await;
            may.add_permits(rows);
        });
        let written: Vec<_> = written.into_iter().map(Option::unwrap).collect();
        assert!(written.iter().map(|(row, _)| *row).eq(0..rows), "each is told of its own");
        assert!(written.iter().all(|(_, together)| *together <= ROWS_MAX));
        assert!(written.iter().any(|(_, together)| *together == ROWS_MAX), "{written:?}");
        assert!(may.available_permits() >= rows - 3, "more statements than it takes");
    }

    #[tokio::test]
    async fn who_gives_up_holds_nobody_up() {
        let (group, may) = (GroupCommit::default(), Arc::new(Semaphore::new(0)));
        let write = |row| {
            let may = may.clone();
            group.write(row, move |rows| write_when(may.clone(), rows))
        };
        let gave_up = tokio::time::timeout(Duration::ZERO, write(0)).await;
        assert!(gave_up.is_err());
        may.add_permits(2);
        assert_eq!(write(1).await, Some((1, 1)));
    }

    #[tokio::test]
    async fn a_panic_ends_one_statement_alone() {
        let group: GroupCommit<usize, usize> = GroupCommit::default();
        let broken = group.write(0, |rows| async move { panic!("{rows:?}") }).await;
        assert_eq!(broken, None);
        assert_eq!(group.write(1, async |rows| rows).await, Some(1));
    }
}
