//! Addresses for servers that are told where to listen.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// The first port that is given away, and how many are: the system gives whoever asks it for any port, or connects to
/// somewhere, one from 32768 on (`net.ipv4.ip_local_port_range`; other systems begin higher).
const FIRST: u16 = 20_000;
const COUNT: u32 = 12_000;
/// How far apart two processes begin that were started one after the other.
const APART: u32 = 97;

/// An address of this machine that nobody listens at. Nobody else gets it until whoever asked does listen there: not
/// from here, and not from the system.
pub fn address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = process::id().wrapping_mul(APART);
    for _ in 0..COUNT {
        let place = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = FIRST + u16::try_from(place).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port from {FIRST} on is free");
}
