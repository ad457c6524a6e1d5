//! `idp demo`: the first thing that anybody sees.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use regex::Regex;
use tempfile::TempDir;

use crate::command_line::{Ended, idp};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A home for one demo, whose database is stopped in the end.
pub struct Home(pub TempDir);

impl Home {
    pub fn new() -> Home {
        let dir = tempfile::tempdir().unwrap();
        // As root the database is somebody else's process, which must be able to come here.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        Home(dir)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let data = self.0.path().join("data/demo");
        let stopped = idp(&["db", "stop"], self.0.path()).env("IDP_DATA_DIR", data).output();
        let stopped = Ended::of(stopped.unwrap());
        assert!(stopped.code == 0 || std::thread::panicking(), "{}", stopped.error);
    }
}

/// What the demo prints when `lines` are piped into it.
fn demo(lines: &str) -> Ended {
    let home = Home::new();
    let mut child = idp(&["demo"], home.0.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    Ended::of(child.wait_with_output().unwrap())
}

/// The demo at a terminal, and who sits there.
pub struct Terminal {
    child: Child,
    keys: File,
    output: Receiver<String>,
    /// What came and was not looked at yet, without colours and the like.
    screen: String,
}

impl Terminal {
    pub fn start(home: &Home) -> Terminal {
        let size = Winsize { ws_row: 40, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let side = || Stdio::from(pair.slave.try_clone().unwrap());
        let mut command = idp(&["demo"], home.0.path());
        command.env("TERM", "xterm").stdin(side()).stdout(side()).stderr(side());
        let child = command.spawn().unwrap();
        let keys = File::from(pair.master);
        let (mut screen, mut reports) = (keys.try_clone().unwrap(), keys.try_clone().unwrap());
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Reading fails once the demo has ended.
            while let Ok(length @ 1..) = screen.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                // The program asks where the cursor is, as it may ask any terminal.
                if text.contains("\u{1b}[6n") {
                    reports.write_all(b"\x1b[1;1R").unwrap();
                }
                // The test may have ended before the demo.
                let _ = send.send(text);
            }
        });
        Terminal { child, keys, output, screen: String::new() }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until `text` is on the screen, behind what was waited for before.
    fn shows(&mut self, text: &str) {
        self.reads(&Regex::new(&regex::escape(text)).unwrap());
    }

    /// What `pattern` matches on the screen, once something does, behind what was waited for before.
    pub fn reads(&mut self, pattern: &Regex) -> String {
        let codes = Regex::new(r"\x1b(\[[0-9;?]*[@-~]|[()][A-Z0-9]|[=>78])").unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let plain = codes.replace_all(&self.screen, "").into_owned();
            if let Some(found) = pattern.find(&plain) {
                self.screen = plain[found.end()..].to_string();
                return found.as_str().to_string();
            }
            let more = self.output.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let more = more.unwrap_or_else(|error| panic!("never {pattern:?}: {error}: {plain}"));
            self.screen.push_str(&more);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Gone already when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_prompt_completes_answers_and_remembers() {
    let home = Home::new();
    let mut terminal = Terminal::start(&home);
    terminal.shows("Tab completes");
    terminal.shows("idp> ");
    terminal.types("own\tpayment-ap\t\r");
    terminal.shows("is owned by Payments");
    terminal.shows("idp> ");
    // Options and their values, too.
    terminal.types("dependents payment-api --ti\t1 --kind comp\t\r");
    terminal.shows("idp> dependents payment-api --tier 1 --kind Component");
    terminal.shows("depend on Payment API");
    terminal.shows("idp> ");
    terminal.types("who owns chekout?\r");
    terminal.shows("Did you mean");
    terminal.shows("idp> ");
    // Up twice: the line before the last.
    terminal.types("\u{1b}[A\u{1b}[A\r");
    terminal.shows("depend on Payment API");
    terminal.shows("idp> ");
    terminal.types("\u{4}");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_piped_line_is_answered_and_the_demo_ends() {
    let ended = demo("owner payment-api\n");
    assert_eq!(ended.code, 0, "{}", ended.error);
    assert!(ended.out.contains("payments"), "{}", ended.out);
    assert!(!ended.out.contains('\u{1b}'), "{}", ended.out);
}

#[test]
fn a_refusal_is_said_and_is_no_failure() {
    let ended = demo("who owns chekout?\n\ndependents payment-api\n");
    assert_eq!(ended.code, 0, "{}", ended.error);
    assert!(ended.out.contains("Did you mean"), "{}", ended.out);
    assert!(ended.out.contains("checkout"), "{}", ended.out);
}
