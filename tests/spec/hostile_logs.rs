//! G7, J2, J7: whatever people, files and requests say, the log of the real `idp serve` keeps one record a line,
//! obeys no terminal, and holds no secret.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::command_line::CommandLine;
use crate::hostile_text::HOSTILE;
use crate::world::{SECRET, mention, now_s, request, signed};

const TOKEN: &str = "xoxb-canary-of-the-log";
/// A record that nobody logged.
const FORGED: &str = "\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}\n2026-01-01T00:00:00Z ERROR idp: forged\u{1b}[2K";
const PATIENCE: Duration = Duration::from_secs(60);

/// What is wrong with a log, in words. `is_json`: each line is one record.
fn wrong_with(log: &[u8], is_json: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let text = String::from_utf8_lossy(log);
    for line in text.lines() {
        if line.chars().any(|it| it.is_control()) {
            wrong.push(format!("a raw control character: {line:?}"));
        }
        match serde_json::from_str::<Value>(line) {
            Ok(record) if record["message"] == "forged" => wrong.push(format!("forged: {line}")),
            Ok(record) if is_json && record["timestamp"].is_string() => {}
            Err(_) if !is_json && !line.starts_with("2026-01-01T00:00:00Z") => {}
            _ => wrong.push(format!("no record: {line}")),
        }
    }
    for secret in [SECRET, TOKEN] {
        if text.contains(secret) {
            wrong.push("a secret".into());
        }
    }
    wrong
}

/// Waits for the line of the log that has `words` in it; all lines so far go to `log`.
fn wait_for(words: &str, lines: &Receiver<Vec<u8>>, log: &mut Vec<u8>) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = lines.recv_timeout(left);
        let line =
            line.unwrap_or_else(|_| panic!("no {words:?}: {}", String::from_utf8_lossy(log)));
        log.extend_from_slice(&line);
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains(words) {
            return line;
        }
    }
}

async fn attack(address: SocketAddr, text: &str) {
    let length = |body: &str| ("content-length".to_string(), body.len().to_string());
    let form = |fields: [(&str, &str); 4]| serde_urlencoded::to_string(fields).unwrap();
    let command =
        form([("team_id", "T1"), ("user_id", text), ("channel_name", text), ("text", text)]);
    let owner = format!("owner {text}");
    let asking =
        form([("team_id", text), ("user_id", "U1"), ("channel_id", text), ("text", &owner)]);
    let event = mention(text, text, text).to_string();
    for (path, body) in
        [("/slack/commands", &command), ("/slack/commands", &asking), ("/slack/events", &event)]
    {
        let mut headers = signed(body.as_bytes());
        headers.push(length(body));
        request(address, "POST", path, headers, body.clone().into_bytes()).await;
    }
    // Not signed, under a path and with a signature of the attacker's choice.
    let path: String = form_urlencoded(text);
    let mut headers =
        vec![length(&command), ("x-slack-request-timestamp".into(), now_s().to_string())];
    headers.push(("x-slack-signature".into(), format!("v0={path}")));
    request(address, "POST", "/slack/commands", headers, command.into_bytes()).await;
    request(address, "GET", &format!("/{path}"), Vec::new(), Vec::new()).await;
}

fn form_urlencoded(text: &str) -> String {
    text.bytes().map(|it| format!("%{it:02x}")).collect()
}

/// YAML takes no NUL: a file with one is refused whole, and its texts come no further.
fn is_sayable(text: &str) -> bool {
    !text.contains('\0')
}

fn in_yaml(text: &str) -> String {
    text.chars().map(|it| format!("\\U{:08x}", it as u32)).collect()
}

/// The start of the hostile text `number`: by it the log shows that the text came so far.
fn mark(number: usize) -> String {
    format!("canary-{number}-")
}

/// What the real server logs in `format` while it is attacked by each of `texts`.
async fn log_of(format: &str, texts: &[String]) -> Vec<u8> {
    let idp = CommandLine::new().await;
    for (number, text) in texts.iter().enumerate().filter(|(_, text)| is_sayable(text)) {
        let said = in_yaml(text);
        let broken = format!(
            "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {{name: \"{said}\"}}\n\
             spec: {{type: \"{said}\", lifecycle: \"{said}\", owner: \"{said}\"}}\n"
        );
        idp.write(&format!("portal/catalog/{number}.yaml"), &broken);
    }
    let mut command = idp.command(&["serve", "--portal", "portal", "--listen", "127.0.0.1:0"]);
    command
        .env("SLACK_SIGNING_SECRET", SECRET)
        .env("SLACK_BOT_TOKEN", TOKEN)
        .env("SLACK_API_URL", "http://127.0.0.1:1/api/")
        .env("IDP_LOG", "info,idp=debug")
        .env("IDP_LOG_FORMAT", format)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let (send, lines) = channel();
    let reading = std::thread::spawn(move || {
        let mut line = Vec::new();
        while errors.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            // Once the test has seen enough it reads what is left after the end.
            let _ = send.send(std::mem::take(&mut line));
        }
    });
    let mut log = Vec::new();
    let listening = wait_for("listening", &lines, &mut log);
    let (_, port) = listening.split_once("127.0.0.1:").unwrap();
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    let address = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    for text in texts {
        attack(address, text).await;
    }
    let mut settings = "organisation: Acme\n".to_string();
    for text in texts.iter().filter(|it| is_sayable(it)) {
        settings.push_str(&format!("\"{}\": 1\n", in_yaml(text)));
    }
    idp.write("portal/idp.yaml", &settings);
    wait_for("the portal's change has errors", &lines, &mut log);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    child.wait().unwrap();
    reading.join().unwrap();
    lines.try_iter().for_each(|line| log.extend_from_slice(&line));
    child.stdout.take().unwrap().read_to_end(&mut log).unwrap();
    log
}

#[tokio::test]
async fn nothing_that_others_say_breaks_the_log() {
    let mut texts: Vec<String> = HOSTILE.map(String::from).to_vec();
    texts.extend([FORGED.to_string(), "p\u{0430}yment-api".to_string()]);
    let characters = (0..0xa0).filter_map(char::from_u32);
    texts.extend(characters.filter(|it| it.is_control()).map(String::from));
    let texts: Vec<String> =
        texts.iter().enumerate().map(|(number, text)| mark(number) + text).collect();
    for format in ["json", "text"] {
        let log = log_of(format, &texts).await;
        assert_eq!(wrong_with(&log, format == "json"), [""; 0], "{format}");
        let text = String::from_utf8_lossy(&log);
        for (number, hostile) in texts.iter().enumerate().filter(|(_, it)| is_sayable(it)) {
            assert!(text.contains(&mark(number)), "{hostile:?} came not as far as the log: {text}");
        }
        println!(
            "REL G7 {} hostile texts, {} lines of {format}: 0 raw control bytes, 0 forged lines, 0 secrets",
            texts.len(),
            text.lines().count()
        );
    }
}

/// The control: a log that repeats what it is told is caught, by each rule.
#[test]
fn the_judge_sees_a_log_that_was_broken() {
    let wrong = |said: &str, is_json| wrong_with(said.as_bytes(), is_json);
    for is_json in [true, false] {
        assert!(!wrong(FORGED, is_json).is_empty());
        assert!(!wrong("a\u{1b}[31mred", is_json).is_empty());
        assert!(!wrong("{\"level\":\"ERROR\",\"message\":\"forged\"}", is_json).is_empty());
        assert!(!wrong("2026-01-01T00:00:00Z ERROR idp: forged", is_json).is_empty());
        assert!(!wrong(&format!("secret={SECRET}"), is_json).is_empty());
    }
    let good =
        "{\"timestamp\":\"2026-11-25T10:00:00Z\",\"level\":\"INFO\",\"message\":\"listening\"}";
    assert!(wrong(good, true).is_empty());
}
