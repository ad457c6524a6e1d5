//! A way to a server that can be turned to another one, or closed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Passes on what comes, for as long as it lives.
pub struct Relay {
    pub address: SocketAddr,
    leads: Arc<Mutex<Leads>>,
    ends: CancellationToken,
}

struct Leads {
    to: Option<SocketAddr>,
    /// Of all connections there.
    open: CancellationToken,
}

impl Relay {
    /// It leads nowhere yet.
    pub async fn start() -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let leads = Leads { to: None, open: CancellationToken::new() };
        let (leads, ends) = (Arc::new(Mutex::new(leads)), CancellationToken::new());
        let relay = Relay { address, leads: leads.clone(), ends: ends.clone() };
        tokio::spawn(ends.run_until_cancelled_owned(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let (to, open) = {
                    let leads = leads.lock().unwrap();
                    (leads.to, leads.open.clone())
                };
                tokio::spawn(open.run_until_cancelled_owned(async move {
                    let Some(to) = to else { return };
                    if let Ok(mut there) = TcpStream::connect(to).await {
                        let _ = copy_bidirectional(&mut here, &mut there).await;
                    }
                }));
            }
        }));
        relay
    }

    /// From now on it leads `to`; every connection to where it led before is cut.
    pub fn leads(&self, to: Option<SocketAddr>) {
        let mut leads = self.leads.lock().unwrap();
        leads.open.cancel();
        *leads = Leads { to, open: CancellationToken::new() };
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.leads(None);
        self.ends.cancel();
    }
}
