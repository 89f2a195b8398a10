//! `GET /metrics` and nothing else: small requests, short connections, few at a time.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The text format of Prometheus.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Connections at the same time; further ones wait for one of them to end.
const MOST_CONNECTIONS: usize = 8;
/// A request is there after this time, or its connection is closed.
const REQUEST_LIMIT: Duration = Duration::from_secs(2);
/// A connection is over after this time, whatever it does.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a request, its headers included.
const MOST_BYTES: usize = 8 * 1024;
const MOST_HEADERS: usize = 64;

/// Takes the address, and tells which port that is.
pub(super) async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(url = format!("http://{}/metrics", listener.local_addr()?), "metrics are served");
    Ok(listener)
}

/// Answers until `stop` is cancelled, and returns when every connection is closed.
pub(super) async fn serve<P>(listener: TcpListener, page: P, stop: CancellationToken)
where
    P: Fn() -> String + Send + Sync + 'static,
{
    let page = Arc::new(page);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(timeout(CONNECTION_LIMIT, converse(stream, Arc::clone(&page))));
                }
                // Out of files, most likely: to try again at once would only burn the processor.
                Err(error) => {
                    tracing::debug!(%error, "a connection for metrics was not taken");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
    connections.shutdown().await;
}

async fn converse<P: Fn() -> String>(stream: TcpStream, page: Arc<P>) {
    let answer = service_fn(|request| {
        let response = answer(&request, page.as_ref());
        async { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_LIMIT)
        .max_buf_size(MOST_BYTES)
        .max_headers(MOST_HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection for metrics broke");
    }
}

fn answer(request: &Request<Incoming>, page: &impl Fn() -> String) -> Response<Full<Bytes>> {
    // A page in a browser can be made to call any address under its own name; it cannot choose this header.
    if !request.headers().get(HOST).is_some_and(is_this_machine) {
        return refuse(
            StatusCode::MISDIRECTED_REQUEST,
            "ask for this machine by its address or as localhost\n",
        );
    }
    if request.uri().path() != "/metrics" {
        return refuse(StatusCode::NOT_FOUND, "there is only /metrics\n");
    }
    if request.method() != Method::GET {
        let refused = refuse(StatusCode::METHOD_NOT_ALLOWED, "metrics can only be read, with GET\n");
        return with(refused, ALLOW, "GET");
    }
    with(Response::new(Full::from(page())), CONTENT_TYPE, FORMAT)
}

fn is_this_machine(host: &HeaderValue) -> bool {
    let authority = host.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
    authority.is_some_and(|authority| {
        let name = authority.host().trim_matches(['[', ']']);
        let is_loopback = name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        is_loopback || name.eq_ignore_ascii_case("localhost")
    })
}

fn refuse(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = with(Response::new(Full::from(text)), CONTENT_TYPE, "text/plain; charset=utf-8");
    *response.status_mut() = status;
    response
}

fn with(mut response: Response<Full<Bytes>>, name: HeaderName, value: &'static str) -> Response<Full<Bytes>> {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_this_machines_is_refused() {
        let good = |text: &str| is_this_machine(&HeaderValue::from_str(text).unwrap());
        for name in ["127.0.0.1", "127.0.0.1:9464", "localhost:1", "LOCALHOST", "[::1]:9464", "127.9.9.9"] {
            assert!(good(name), "{name}");
        }
        for name in [
            "",
            "evil.example",
            "evil.example:9464",
            "localhost.evil.example",
            "10.0.0.1",
            "127.0.0.1.nip.io",
        ] {
            assert!(!good(name), "{name}");
        }
    }
}
