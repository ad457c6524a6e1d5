//! A request that Slack did not sign, or signed at another time, is not Slack's.

use idp::chat::slack::signature::SigningSecret;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use secrecy::SecretString;

use crate::scale::at_full;

const NOW_S: i64 = 1_764_000_000;
const SECRET: &str = "4b1d0f7a92c35e8866aa0c9de1f25374";

fn secret() -> SigningSecret {
    SigningSecret::new(&SecretString::from(SECRET)).unwrap()
}

#[test]
fn none_of_a_million_mutants_is_believed() {
    let (secret, mut random) = (secret(), StdRng::seed_from_u64(3));
    let mutants = at_full(1_000_000);
    for number in 0..mutants {
        let body = format!("team_id=T1&user_id=U1&text=owner+service-{number}").into_bytes();
        let (timestamp, signature) = (NOW_S.to_string().into_bytes(), secret.sign(NOW_S, &body));
        // The control of each mutant: before it was one, it was believed.
        assert!(secret.signed(&timestamp, signature.as_bytes(), &body, NOW_S));
        let original = (timestamp, signature.into_bytes(), body);
        let (timestamp, signature, body) = mutant(&mut random, original.clone());
        assert_ne!((&timestamp, &signature, &body), (&original.0, &original.1, &original.2));
        assert!(
            !secret.signed(&timestamp, &signature, &body, NOW_S),
            "believed: {} {} {}",
            timestamp.escape_ascii(),
            signature.escape_ascii(),
            body.escape_ascii()
        );
    }
    println!("REL D3 {mutants} mutants, 0 accepted");
}

type Signed = (Vec<u8>, Vec<u8>, Vec<u8>);

fn mutant(random: &mut StdRng, (mut timestamp, mut signature, mut body): Signed) -> Signed {
    match random.random_range(0..12) {
        0 => flip(random, &mut body),
        1 => flip(random, &mut timestamp),
        2 => flip(random, &mut signature),
        3 => body.push(random.random()),
        4 => body.truncate(random.random_range(0..body.len())),
        5 => signature.truncate(random.random_range(0..signature.len())),
        6 => signature.push(random.random()),
        7 => signature[1] = b'1',
        // `v0=` has no letter that changes, and 64 digits without one do not happen.
        8 => signature[3..].make_ascii_uppercase(),
        9 => timestamp.insert(0, *b"0 +-".get(random.random_range(0..4)).unwrap()),
        10 => {
            timestamp.extend_from_slice([&b".0"[..], b" ", b"e0", b"\0"][random.random_range(0..4)])
        }
        _ => body.insert(random.random_range(0..=body.len()), 0),
    }
    (timestamp, signature, body)
}

fn flip(random: &mut StdRng, bytes: &mut [u8]) {
    let at = random.random_range(0..bytes.len());
    bytes[at] ^= 1 << random.random_range(0..8);
}

#[test]
fn a_request_of_another_time_is_refused_whoever_signed_it() {
    let (secret, mut random) = (secret(), StdRng::seed_from_u64(4));
    let (requests, mut believed) = (at_full(100_000), 0);
    for _ in 0..requests {
        let sent_s = NOW_S + random.random_range(-1_000..1_000);
        let signature = secret.sign(sent_s, b"text=owner");
        let timestamp = sent_s.to_string();
        let is_signed =
            secret.signed(timestamp.as_bytes(), signature.as_bytes(), b"text=owner", NOW_S);
        assert_eq!(is_signed, (sent_s - NOW_S).abs() <= 300, "{sent_s}");
        believed += usize::from(is_signed);
    }
    assert!(believed > 0, "the control: some were in time");
    println!("REL D4 {requests} requests of other times, 0 outside five minutes accepted");
}

#[test]
fn thirty_secrets_that_could_be_guessed_keep_the_process_from_starting() {
    let mut weak: Vec<String> =
        (0..16).map(|length| "4b1d0f7a92c35e8866aa"[..length].into()).collect();
    for (before, after) in
        [(" ", ""), ("", " "), ("", "\n"), ("\t", ""), ("", "\u{a0}"), ("", "\0")]
    {
        weak.push(format!("{before}{SECRET}{after}"));
    }
    let known = [
        "8f742231b10e8888abcd99yyyzzz85a5",
        "8F742231B10E8888ABCD99YYYZZZ85A5",
        "your-signing-secret",
    ];
    weak.extend(known.map(String::from));
    weak.extend(["a".repeat(32), "0".repeat(64), " ".repeat(32), "\n".repeat(32)]);
    weak.push("xoxb-1234567890-abcdefghijkl".into());
    for secret in &weak {
        let error =
            SigningSecret::new(&SecretString::from(secret.as_str())).unwrap_err().to_string();
        assert!(error.contains("`SLACK_SIGNING_SECRET`"), "{secret:?}: {error}");
        let is_shown = secret.trim().len() > 6 && error.contains(secret.trim());
        assert!(!is_shown || secret == "your-signing-secret", "{error}");
    }
    println!("REL D5 {} weak secrets, {0} refusals", weak.len());
    assert!(weak.len() >= 30);
}
