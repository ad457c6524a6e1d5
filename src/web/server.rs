//! Taking connections, and letting go of them.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// How long a client may take to send the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// How long requests that are being answered may take once the process is told to stop.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// After a failure to take a connection: no file descriptor is free, say.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers on `listener` until `stop`, then finishes what it has begun, within 10 s.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    let connections = GracefulShutdown::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(error = error.to_string(), "could not take a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Answers are small and complete: waiting to fill a packet only delays them. Where it cannot be
        // set they are merely later.
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answered = router.clone().oneshot(request.map(Body::new));
            async move { answered.await.map_err(|never: Infallible| never) }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_WITHIN, connections.shutdown()).await.is_err() {
        tracing::warn!(seconds = DRAIN_WITHIN.as_secs(), "some requests were not finished in time");
    }
}
