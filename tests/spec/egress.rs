//! Where idp connects to, and where it never does: the one HTTP client against real listeners that count.
//!
//! What could end at a stranger's address runs in a network namespace of its own, in which every address there is
//! belongs to this machine: no packet can leave, and each connection is counted, whatever its address was.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use idp::integrations::http::{Client, HttpError, Policy, is_public};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const LIMIT: usize = 1024 * 1024;

/// A public name whose address is public; in our namespace it is this machine.
const PUBLIC: &str = "https://public.test/catalog-info.yaml";

// ---- in the open: loopback listeners -------------------------------------------------------------------------

#[tokio::test]
async fn a_listed_host_may_be_private_and_plain() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let listed = client(&[&server.place("ghe.test")], Names::of("ghe.test", "127.0.0.1"));
    let answer = listed.get(&server.url("ghe.test"), LIMIT).await.unwrap();
    assert_eq!((answer.status, answer.body), (200, b"ok".to_vec()));

    // Its other ports are not listed with it, nor is its name under another port.
    let other = client(&["ghe.test:1"], Names::of("ghe.test", "127.0.0.1"));
    assert_refused(&other.get(&server.url("ghe.test"), LIMIT).await);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn not_even_a_listed_host_stands_for_a_metadata_service() {
    for address in ["169.254.169.254", "fd00:ec2::254", "fe80::1", "100.100.100.200", "0.0.0.0"] {
        let listed = client(&["ghe.test:443"], Names::of("ghe.test", address));
        assert_refused(&listed.get("https://ghe.test/", LIMIT).await);
    }
}

#[tokio::test]
async fn loopback_is_asked_only_where_the_policy_says_so() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let url = format!("http://{}/", server.address);
    assert_refused(&Client::new(Policy::default()).get(&url, LIMIT).await);
    assert_eq!(server.connections(), 0);

    let policy = Policy { loopback: true, ..Policy::default() };
    assert_eq!(Client::new(policy).get(&url, LIMIT).await.unwrap().status, 200);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let secret = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret");
    let mut followed = 0;
    for status in [301, 302, 303, 307, 308] {
        for target in [secret.url("inner.test"), format!("//inner.test:{}/", secret.address.port())]
        {
            let server = Server::answering(&format!(
                "HTTP/1.1 {status} Moved\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n"
            ));
            let names = || Names::of("outer.test", "127.0.0.1").and("inner.test", "127.0.0.1");
            let guarded =
                client(&[&server.place("outer.test"), &secret.place("inner.test")], names());
            let answer = guarded.get(&server.url("outer.test"), LIMIT).await.unwrap();
            assert_eq!(answer.status, status);
            let posted = guarded.post_json(&server.url("outer.test"), &[], &true.into()).await;
            assert_eq!(posted.unwrap().status, status);
            assert_eq!(secret.connections(), followed, "{status} to {target}");

            let control = unguarded(names()).get(server.url("outer.test")).send().await.unwrap();
            assert_eq!(control.text().await.unwrap(), "secret");
            followed = secret.connections();
        }
    }
    assert_eq!(followed, 10, "the control follows each");
    println!("REL I3 20 redirects, 0 followed; control 10 of 10");
}

#[tokio::test]
async fn a_server_that_cannot_prove_its_name_gets_nothing() {
    let authority = Authority::new();
    let cases = [
        ("self-signed", Authority::new().certify("ghe.test", 2100)),
        ("another host", authority.certify("other.test", 2100)),
        ("expired", authority.certify("ghe.test", 2020)),
    ];
    let get = |server: &TlsServer| {
        let place = format!("ghe.test:{}", server.address.port());
        let trusting = Client::with(
            Policy { allowed: vec![place.clone()], loopback: false },
            Arc::new(Names::of("ghe.test", "127.0.0.1")),
            vec![reqwest::Certificate::from_der(authority.certificate.der()).unwrap()],
        );
        async move {
            let token = [("authorization", "Bearer token")];
            trusting.post_json(&format!("https://{place}/"), &token, &true.into()).await
        }
    };
    for (case, certificate) in cases {
        let server = TlsServer::with(certificate);
        let error = get(&server).await.unwrap_err();
        assert!(
            matches!(&error, HttpError::Unreachable { why, .. } if why.contains("certificate")),
            "{case}: {error}"
        );
        assert_eq!(server.bytes_read.load(Ordering::SeqCst), 0, "{case}: it was told something");
    }
    let good = TlsServer::with(authority.certify("ghe.test", 2100));
    assert_eq!(get(&good).await.unwrap().status, 200);
    assert!(good.bytes_read.load(Ordering::SeqCst) > 0, "the control is told something");
}

#[tokio::test]
async fn a_plain_server_on_a_tls_port_gets_nothing() {
    let server =
        Server::running(|mut stream, _| stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let listed = client(&[&server.place("ghe.test")], Names::of("ghe.test", "127.0.0.1"));
    let url = server.url("ghe.test").replace("http:", "https:");
    let error = listed.get(&url, LIMIT).await.unwrap_err();
    assert!(matches!(error, HttpError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn an_endless_body_ends_at_its_limit() {
    let server = Server::running(|mut stream, sent| {
        read_request(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            sent.fetch_add(stream.write(&[b'a'; 8192])?, Ordering::SeqCst);
        }
    });
    let listed = client(&[&server.place("ghe.test")], Names::of("ghe.test", "127.0.0.1"));
    let error = listed.get(&server.url("ghe.test"), LIMIT).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { limit_bytes: LIMIT, .. }), "{error}");
    let sent = server.sent.load(Ordering::SeqCst);
    assert!(sent < 32 * LIMIT, "it took in {sent} bytes, buffers of the kernel included");
}

#[tokio::test]
async fn a_gzip_bomb_is_counted_unpacked() {
    let bomb = gzip(&vec![0; 64 * LIMIT]);
    assert!(bomb.len() < LIMIT, "it must fit before it is unpacked: {} bytes", bomb.len());
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        bomb.len()
    );
    let server = Server::answering_bytes([head.as_bytes(), &bomb].concat());
    let listed = client(&[&server.place("ghe.test")], Names::of("ghe.test", "127.0.0.1"));
    let error = listed.get(&server.url("ghe.test"), LIMIT).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { .. }), "{error}");

    // The control: the same with room for it.
    let whole = listed.get(&server.url("ghe.test"), 64 * LIMIT).await.unwrap();
    assert_eq!(whole.body.len(), 64 * LIMIT);
}

#[tokio::test]
async fn a_server_that_drips_is_left_in_time() {
    let server = Server::running(|mut stream, _| {
        read_request(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")?;
        loop {
            stream.write_all(b"a")?;
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let listed = client(&[&server.place("ghe.test")], Names::of("ghe.test", "127.0.0.1"));
    let url = server.url("ghe.test");
    let started = Instant::now();
    let json = true.into();
    let (got, posted) = tokio::join!(listed.get(&url, LIMIT), listed.post_json(&url, &[], &json));
    assert!(matches!(got, Err(HttpError::TimedOut { seconds: 15, .. })), "{got:?}");
    assert!(matches!(posted, Err(HttpError::TimedOut { seconds: 10, .. })), "{posted:?}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn an_answer_of_nonsense_is_an_error_or_an_answer_and_never_a_panic() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(10 * LIMIT));
    let shapes: Vec<Vec<u8>> = [
        "",
        "\0",
        "HTTP/1.1",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
        &long,
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 204 No\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: \u{1}\r\n\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
        "<html>hello</html>",
    ]
    .map(|it: &str| it.as_bytes().to_vec())
    .into();
    for shape in shapes {
        let server = Server::answering_bytes(shape.clone());
        let listed = client(&[&server.place("ghe.test")], Names::of("ghe.test", "127.0.0.1"));
        if let Err(error) = listed.get(&server.url("ghe.test"), LIMIT).await {
            assert!(!error.to_string().contains("catalog-info"), "it tells the path: {error}");
        }
    }
}

#[tokio::test]
async fn an_error_tells_neither_path_nor_query_nor_password() {
    let client = Client::new(Policy::default());
    for url in [
        "https://10.0.0.1/hooks/T-SECRET?token=SECRET",
        "https://ada:SECRET@public.test/",
        "ftp://public.test/SECRET",
        "https://public.test:99999/SECRET",
    ] {
        let error = client.get(url, LIMIT).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
    }
}

#[tokio::test]
async fn a_header_takes_no_line_break() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let listed = client(&[&server.place("ghe.test")], Names::of("ghe.test", "127.0.0.1"));
    for header in [("x", "a\r\nhost: inner"), ("x", "a\nb"), ("x\r\ny", "a"), ("x", "a\0")] {
        assert_refused(&listed.get_with(&server.url("ghe.test"), &[header], LIMIT).await);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn addresses_that_are_special_anywhere_are_not_public() {
    for address in special_v4().iter().map(|it| IpAddr::V4(*it)).chain(special_v6()) {
        assert!(!is_public(address), "{address}");
    }
    for address in [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "198.20.0.1",
        "2606:4700::1111",
        "2a00::1",
    ] {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
}

// ---- in a network of its own ---------------------------------------------------------------------------------

#[test]
fn nothing_in_a_network_of_its_own_is_connected_to() {
    let made = "ip link set lo up && ip route add local default dev lo && ip -6 route add local default dev lo";
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", script]);
        command.arg(std::env::current_exe().unwrap());
        command
    };
    if !unshare(made).output().is_ok_and(|it| it.status.success()) {
        println!(
            "skipped: no network namespace may be made here (`unshare --map-root-user --net`, `ip`)"
        );
        return;
    }
    let inside =
        format!("{made} && exec \"$0\" --ignored --nocapture --test-threads=1 egress::inside::");
    let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
    let mut command = unshare(&inside);
    for variable in
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
    {
        command.env(variable, &proxy);
    }
    let output = command.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let figures: Vec<&str> =
        said.lines().filter_map(|it| it.split_once("REL ")).map(|it| it.1).collect();
    assert_eq!(figures.len(), 4, "each chapter prints its figure: {said}");
    for figure in figures {
        println!("REL {figure}");
    }
}

const PROXY_PORT: u16 = 3128;

/// Run by the test above, inside the namespace it makes.
mod inside {
    use super::*;

    #[tokio::test]
    #[ignore = "runs in a network namespace of its own"]
    async fn no_hostile_url_is_connected_to() {
        let Some(network) = Network::of_our_own() else { return };
        let names = hostile_names();
        let urls = hostile_urls(&names);
        assert!(urls.len() >= 400, "{} URLs", urls.len());

        let guarded = client(&[], names.clone());
        for url in &urls {
            let answer = guarded.get(url, LIMIT).await;
            assert!(answer.is_err(), "{url:?} was answered");
            assert_eq!(network.connections(), 0, "{url:?} was connected to");
            assert_refused(&answer);
            assert_refused(&guarded.post_json(url, &[], &true.into()).await);
        }
        assert_eq!(network.connections(), 0);

        let mut reached = 0;
        for url in &urls {
            let before = network.connections();
            let control = unguarded(names.clone());
            // It fails, for nobody speaks TLS here; what counts is whether it got through.
            let _ = control.get(url).timeout(Duration::from_secs(1)).send().await;
            reached += usize::from(network.connections() > before);
        }
        assert!(reached > urls.len() / 2, "the control reached {reached} of {}", urls.len());

        assert!(guarded.get(PUBLIC, LIMIT).await.is_err(), "nobody speaks TLS here");
        let before = network.connections();
        let _ = guarded.get(PUBLIC, LIMIT).await;
        assert!(network.connections() > before, "the guard lets public addresses through");
        println!("REL I1+I4 {} URLs, 0 connections; control {reached} connected", urls.len());
    }

    #[tokio::test]
    #[ignore = "runs in a network namespace of its own"]
    async fn a_name_that_changes_its_answer_gains_nothing() {
        let Some(network) = Network::of_our_own() else { return };
        let public = "93.184.215.14";
        let mut scenarios = 0;
        let mut reached = 0;
        for private in [
            "10.0.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "192.168.0.1",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "100.64.0.1",
        ] {
            let rebindings: [&[&[&str]]; 5] = [
                &[&[private]],
                &[&[public], &[private]],
                &[&[public, private], &[private, public]],
                &[&[private, public], &[public], &[private]],
                &[&[public], &[public], &[private], &[public]],
            ];
            for answers in rebindings {
                scenarios += 1;
                let names = || Names::changing("rebind.test", answers);
                network.forget();
                // A client for each request, as a pool would keep the first connection.
                let guarded = names();
                for _ in answers {
                    let _ = client(&[], guarded.clone()).get("https://rebind.test/", LIMIT).await;
                }
                for address in network.asked() {
                    assert!(is_public(address), "{address} was connected to: {answers:?}");
                }
                let naive = names();
                for _ in answers {
                    let control = unguarded(naive.clone()).get("https://rebind.test/");
                    let _ = control.timeout(Duration::from_secs(1)).send().await;
                }
                reached += usize::from(network.asked().iter().any(|it| !is_public(*it)));
            }
        }
        assert_eq!(scenarios, 50);
        assert!(reached >= 45, "the control reached {reached} of {scenarios}");
        println!(
            "REL I2 {scenarios} rebindings, 0 private connections; control {reached} connected"
        );
    }

    #[tokio::test]
    #[ignore = "runs in a network namespace of its own"]
    async fn no_proxy_of_the_environment_is_asked() {
        let Some(network) = Network::of_our_own() else { return };
        let names = || Names::of("public.test", "93.184.215.14");
        let _ = client(&[], names()).get(PUBLIC, LIMIT).await;
        assert_eq!(network.connections_at(PROXY_PORT), 0);
        assert_eq!(network.connections_at(443), 1);

        let control = unguarded_through_proxies(names()).get(PUBLIC);
        let _ = control.timeout(Duration::from_secs(2)).send().await;
        assert!(network.connections_at(PROXY_PORT) > 0, "the control asks the proxy");
        println!(
            "REL I5 0 connections to the proxy; control {}",
            network.connections_at(PROXY_PORT)
        );
    }

    #[tokio::test]
    #[ignore = "runs in a network namespace of its own"]
    async fn a_pin_is_judged_like_a_request() {
        let Some(network) = Network::of_our_own() else { return };
        let names = hostile_names();
        let urls = hostile_urls(&names);
        let guarded = client(&[], names);
        for url in &urls {
            assert!(matches!(guarded.pin(url).await, Err(HttpError::Refused { .. })), "{url:?}");
        }
        let (_, addresses) = guarded.pin(PUBLIC).await.unwrap();
        assert_eq!(addresses, ["93.184.215.14".parse::<IpAddr>().unwrap()]);
        assert_eq!(network.connections(), 0, "a pin connects to nothing");
        println!("REL I1 {} pins refused", urls.len());
    }
}

// ---- hostile addresses ---------------------------------------------------------------------------------------

fn special_v4() -> Vec<Ipv4Addr> {
    [
        "127.0.0.1",
        "127.255.0.3",
        "10.0.0.1",
        "10.255.255.254",
        "172.16.0.1",
        "172.31.255.254",
        "192.168.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "100.64.0.1",
        "100.100.100.200",
        "0.0.0.0",
        "0.1.2.3",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ]
    .map(|it| it.parse().unwrap())
    .into()
}

fn special_v6() -> Vec<IpAddr> {
    [
        "::",
        "::1",
        "fd00::1",
        "fc00::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "100::1",
        "2001:db8::1",
        "3fff::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001::1",
        "5f00::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "2002:808:808::1",
        "::8.8.8.8",
        "4000::1",
    ]
    .map(|it| it.parse().unwrap())
    .into()
}

/// The ways to write an IPv4 address that somebody's parser takes.
fn notations(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let n = u32::from(address);
    let wide = |base: char| {
        let digit = |it: char| {
            it.to_digit(10).and_then(|it| char::from_u32(base as u32 + it)).unwrap_or(it)
        };
        address.to_string().chars().map(digit).collect::<String>()
    };
    let circled = |it: char| match it {
        '0' => '⓪',
        '1'..='9' => char::from_u32('①' as u32 + it as u32 - '1' as u32).unwrap(),
        _ => it,
    };
    vec![
        address.to_string(),
        format!("{address}."),
        format!("{n}"),
        format!("{n:#x}"),
        format!("{n:#X}").replace("0X", "0x"),
        format!("0{n:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a}.{}", n & 0xff_ffff),
        format!("{a}.{b}.{}", n & 0xffff),
        format!("{a:#x}.{b}.0{c:o}.{d}"),
        address.to_string().replace('.', "%2e"),
        address.to_string().bytes().map(|it| format!("%{it:02x}")).collect(),
        address.to_string().replace('.', "。"),
        wide('０'),
        address.to_string().chars().map(circled).collect(),
        format!("[::ffff:{address}]"),
        format!("[::ffff:{:x}:{:x}]", n >> 16, n & 0xffff),
        format!("[::{address}]"),
        format!("[64:ff9b::{address}]"),
        format!("[64:ff9b:1::{address}]"),
        format!("[2002:{:x}:{:x}::]", n >> 16, n & 0xffff),
        format!("[2001:0:{:x}:{:x}::]", n >> 16, n & 0xffff),
    ]
}

/// Names that stand for special addresses, and one that does not.
fn hostile_names() -> Names {
    let mut names = Names::of("public.test", "93.184.215.14");
    for name in [
        "localhost",
        "localhost.",
        "a.localhost",
        "ip6-localhost",
        "localtest.me",
        "metadata.google.internal",
    ] {
        names = names.and(name, "127.0.0.1");
    }
    for (index, address) in special_v4().into_iter().enumerate() {
        names = names.and(&format!("n{index}.rebind.test"), &address.to_string());
        names = names.and(&format!("{address}.nip.io"), &address.to_string());
        names = names.and(
            &format!("{}.sslip.io", address.to_string().replace('.', "-")),
            &address.to_string(),
        );
    }
    for (index, address) in special_v6().into_iter().enumerate() {
        names = names.and(&format!("s{index}.rebind.test"), &address.to_string());
    }
    names
}

fn hostile_urls(names: &Names) -> Vec<String> {
    let mut hosts: Vec<String> = special_v4().into_iter().flat_map(notations).collect();
    hosts.extend(special_v6().iter().map(|it| format!("[{it}]")));
    hosts.extend(names.0.lock().unwrap().keys().filter(|it| *it != "public.test").cloned());
    hosts.extend(["[::1%lo]", "[::1%25lo]", "LOCALHOST", "ⓛocalhost"].map(String::from));
    let mut urls: Vec<String> =
        hosts.iter().map(|host| format!("https://{host}/latest/meta-data/")).collect();
    let public = "public.test";
    for scheme in [
        "http", "ftp", "ws", "wss", "file", "gopher", "dict", "ldap", "unix", "jar", "tftp",
        "sftp", "ssh", "git", "HTTP",
    ] {
        urls.push(format!("{scheme}://{public}/"));
    }
    for port in [1, 22, 25, 80, 110, 2375, 3306, 5432, 6379, 8080, 8443, 9200, 11211, 65535] {
        urls.push(format!("https://{public}:{port}/"));
    }
    for userinfo in
        ["ada@", "ada:secret@", ":secret@", "10.0.0.1@", "10.0.0.1:443@", "%0d%0a@", "a@b@"]
    {
        urls.push(format!("https://{userinfo}{public}/"));
        urls.push(format!("https://{userinfo}10.0.0.1/"));
    }
    urls.extend(
        [
            "",
            " ",
            "/",
            "//10.0.0.1/",
            "10.0.0.1",
            "https:",
            "https://",
            "https:///",
            "https:10.0.0.1",
            "https:/10.0.0.1",
            "https:\\\\10.0.0.1\\",
            "https://public.test\\@10.0.0.1/",
            "https://10.0.0.1\\.public.test/",
            "https://public.test/\r\nhost: 10.0.0.1",
            "https://public.test/\nx",
            "https://10.0\t.0.1/",
            " https://public.test/",
            "https://public.test/ ",
            "https://pub lic.test/",
            "https://10.0.0.1#@public.test/",
            "https://10.0.0.1?@public.test/",
            "https://127.1/",
            "https://0/",
            "https://0x7f.1/",
            "https://0177.1/",
            "data:text/plain,x",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "unix:/run/docker.sock",
            "about:blank",
            "https://\u{202e}10.0.0.1/",
            "https://public.test/\0",
            "mailto:ada@public.test",
            "https://public.test:/\r",
            "https://[/",
            "https://%/",
        ]
        .map(String::from),
    );
    urls
}

// ---- what the tests stand on ---------------------------------------------------------------------------------

fn client(allowed: &[&str], names: Names) -> Client {
    let allowed = allowed.iter().map(ToString::to_string).collect();
    Client::with(Policy { allowed, loopback: false }, Arc::new(names), Vec::new())
}

#[expect(clippy::disallowed_methods, reason = "the control: what happens without the guard")]
fn unguarded_through_proxies(names: Names) -> reqwest::Client {
    idp::integrations::http::install_tls();
    reqwest::Client::builder().dns_resolver(names).tls_certs_only([]).build().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the control: what happens without the guard")]
fn unguarded(names: Names) -> reqwest::Client {
    idp::integrations::http::install_tls();
    reqwest::Client::builder().dns_resolver(names).tls_certs_only([]).no_proxy().build().unwrap()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(answer: &Result<T, HttpError>) {
    assert!(matches!(answer, Err(HttpError::Refused { .. })), "{answer:?}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A name server: for each name its answers in turn, the last one for ever.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>);

impl Names {
    fn of(name: &str, address: &str) -> Names {
        Names::default().and(name, address)
    }

    fn changing(name: &str, answers: &[&[&str]]) -> Names {
        let answers = answers.iter().map(|it| it.iter().map(|it| it.parse().unwrap()).collect());
        let names = Names::default();
        names.0.lock().unwrap().insert(name.into(), answers.rev().collect());
        names
    }

    fn and(self, name: &str, address: &str) -> Names {
        self.0.lock().unwrap().insert(name.into(), vec![vec![address.parse().unwrap()]]);
        self
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let mut names = self.0.lock().unwrap();
        let answers = names.get_mut(name.as_str());
        let answer = answers.map(|it| if it.len() > 1 { it.pop().unwrap() } else { it[0].clone() });
        Box::pin(async move {
            let addresses = answer.ok_or("there is no such name")?;
            Ok(Box::new(addresses.into_iter().map(|it| SocketAddr::new(it, 0))) as Addrs)
        })
    }
}

/// A server on a free loopback port that says the same to everybody, and counts them.
struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl Server {
    fn answering(text: &str) -> Server {
        let closing = text.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        Server::answering_bytes(closing.into_bytes())
    }

    fn answering_bytes(answer: Vec<u8>) -> Server {
        Server::running(move |mut stream, _| {
            read_request(&mut stream)?;
            stream.write_all(&answer)
        })
    }

    fn running(
        talk: impl Fn(TcpStream, &AtomicUsize) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let sent = Arc::new(AtomicUsize::new(0));
        let (counter, talk, sending) = (accepted.clone(), Arc::new(talk), sent.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                let (talk, sending) = (talk.clone(), sending.clone());
                // That the client hangs up is what these tests are about.
                std::thread::spawn(move || talk(stream.unwrap(), &sending).is_ok());
            }
        });
        Server { address, accepted, sent }
    }

    fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    fn place(&self, name: &str) -> String {
        format!("{name}:{}", self.address.port())
    }

    fn url(&self, name: &str) -> String {
        format!("http://{}/catalog-info.yaml", self.place(name))
    }
}

/// Reads the head of a request and, where it has one, its body.
fn read_request(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        text.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&text).to_lowercase();
    let length = head.lines().find_map(|it| it.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok([text, body].concat())
}

/// Whoever certifies names: a key, and a certificate that clients may trust.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap();
        Authority { certificate, issuer: rcgen::Issuer::new(parameters, key) }
    }

    /// A server's half of TLS under `name`, good until `end_year` begins.
    fn certify(&self, name: &str, end_year: i32) -> rustls::ServerConfig {
        idp::integrations::http::install_tls();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_string()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2000, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(end_year, 1, 1);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }
}

/// Answers 200 to whoever gets through the handshake, and counts what it was told after it.
struct TlsServer {
    address: SocketAddr,
    bytes_read: Arc<AtomicUsize>,
}

impl TlsServer {
    fn with(config: rustls::ServerConfig) -> TlsServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let bytes_read = Arc::new(AtomicUsize::new(0));
        let (counter, config) = (bytes_read.clone(), Arc::new(config));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = rustls::ServerConnection::new(config.clone()).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
                let Ok(request) = read_request(&mut stream) else { continue };
                counter.fetch_add(request.len(), Ordering::SeqCst);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        });
        TlsServer { address, bytes_read }
    }
}

const PORTS: [u16; 16] =
    [1, 22, 25, 80, 110, 443, 2375, PROXY_PORT, 3306, 5432, 6379, 8080, 8443, 9200, 11211, 65535];

/// Every address there is, listening on the ports that matter and counting.
struct Network {
    /// The address and port that each connection was made to.
    asked: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Network {
    /// Nothing asked yet; `None` where the network is everybody's: these tests must not run there.
    fn of_our_own() -> Option<&'static Network> {
        static NETWORK: LazyLock<Option<Network>> = LazyLock::new(Network::listening);
        let network = NETWORK.as_ref()?;
        network.forget();
        Some(network)
    }

    fn listening() -> Option<Network> {
        if TcpListener::bind("93.184.215.14:0").is_err() {
            println!("skipped: run by nothing_in_a_network_of_its_own_is_connected_to");
            return None;
        }
        let asked = Arc::new(Mutex::new(Vec::new()));

        for port in PORTS {
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap();
            let asked = asked.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut address = stream.unwrap().local_addr().unwrap();
                    address.set_ip(address.ip().to_canonical());
                    asked.lock().unwrap().push(address);
                }
            });
        }
        Some(Network { asked })
    }

    /// Waits until every connection made before now is counted: the last one is ours, and they come in order.
    fn settled(&self) -> Vec<SocketAddr> {
        for port in PORTS {
            let ours = TcpStream::connect(("127.9.9.9", port)).unwrap().peer_addr().unwrap();
            let deadline = Instant::now() + Duration::from_secs(5);
            let mut asked = self.asked.lock().unwrap();
            while !asked.contains(&ours) {
                drop(asked);
                assert!(Instant::now() < deadline, "our own connection is not counted");
                std::thread::yield_now();
                asked = self.asked.lock().unwrap();
            }
            asked.retain(|it| *it != ours);
        }
        self.asked.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        self.settled().len()
    }

    fn connections_at(&self, port: u16) -> usize {
        self.settled().iter().filter(|it| it.port() == port).count()
    }

    fn asked(&self) -> Vec<IpAddr> {
        self.settled().iter().map(SocketAddr::ip).collect()
    }

    fn forget(&self) {
        self.settled();
        self.asked.lock().unwrap().clear();
    }
}
