//! `idp demo`: the first thing that anybody sees.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::command_line::{Ended, idp};

/// What the demo prints when `lines` are piped into it.
fn demo(lines: &str) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    // As root the database is somebody else's process, which must be able to come here.
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let mut child = idp(&["demo"], dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap());
    let stopped = idp(&["db", "stop"], dir.path())
        .env("IDP_DATA_DIR", dir.path().join("data/demo"))
        .output()
        .unwrap();
    assert!(stopped.status.success(), "{}", Ended::of(stopped).error);
    ended
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
