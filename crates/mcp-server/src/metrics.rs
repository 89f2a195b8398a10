//! What the server tells to whoever watches it: numbers for Prometheus, on this machine only.

mod endpoint;
mod exposition;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::server::Server;
use exposition::Page;

/// The endpoint of one server.
#[derive(Debug)]
pub struct Exporter {
    task: AbortOnDropHandle<()>,
}

impl Exporter {
    /// Serves `/metrics` at `address` until `stop` is cancelled. A port that is taken is told and nothing else: several
    /// clients may start the same configuration, and each wants its server.
    pub async fn start(address: SocketAddr, server: &Server, stop: CancellationToken) -> Option<Self> {
        let listener = match endpoint::listen(address).await {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(
                    %address, %error,
                    "no metrics: another process may have the port; choose another one, or 0 for any that is free"
                );
                return None;
            }
        };
        let started = SystemTime::now();
        let server = server.clone();
        let page = move || {
            let snapshot = server.shared().registry.if_opened().map(registry_core::QueryRegistry::metrics);
            Page::of(snapshot, started).to_string()
        };
        let serving = endpoint::serve(listener, page, stop);
        Some(Self { task: AbortOnDropHandle::new(tokio::spawn(serving)) })
    }

    /// Returns when the endpoint is closed and all its connections are.
    pub async fn ended(self) {
        if let Err(fault) = self.task.await {
            tracing::error!(%fault, "the metrics endpoint ended by a fault of this program");
        }
    }
}

/// Where metrics are served: an address that only this machine reaches, because whoever reaches it reads everything.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let address = match text.strip_prefix("localhost:").map(str::parse) {
        Some(port) => port.ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => text.parse().ok(),
    };
    match address {
        Some(address) if address.ip().is_loopback() => Ok(address),
        Some(_) => {
            Err("metrics are served to this machine only, because there is no sign-in to read them; use \
                        127.0.0.1:PORT, and a proxy or an agent on this machine to take them elsewhere"
                .to_owned())
        }
        None => {
            Err("it must be an address of this machine and a port, such as 127.0.0.1:9464; port 0 takes a \
                     free one, which the log names"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_served() {
        for good in ["127.0.0.1:0", "127.0.0.2:9464", "[::1]:9464", "localhost:9464"] {
            assert!(address(good).unwrap().ip().is_loopback(), "{good}");
        }
        for foreign in ["0.0.0.0:9464", "[::]:9464", "10.0.0.1:9464", "192.168.1.2:80"] {
            assert!(address(foreign).unwrap_err().contains("this machine only"), "{foreign}");
        }
        for wrong in ["", "9464", "127.0.0.1", "localhost", "localhost:x", "example.com:80"] {
            assert!(address(wrong).unwrap_err().contains("127.0.0.1:9464"), "{wrong}");
        }
    }
}
