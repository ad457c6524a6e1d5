//! Named places, from a click to the message that tells of it, where tests end or freeze the process. Only a build with
//! debug assertions has them.
//!
//! A crate for this would return from the function or stop one thread; here the whole process ends as by `kill -9`, or
//! freezes as a machine does that is moved to another host.

use anyhow::bail;

/// What happens where: `abort:4:vote-locked` ends the process when it is at `vote-locked` for the fourth time,
/// `freeze:1:vote-locked` freezes it there until it is told to go on.
///
/// # Errors
/// A text that is none of these; a build that has no such places.
pub fn choose(text: &str) -> anyhow::Result<()> {
    if !cfg!(debug_assertions) {
        bail!(
            "`IDP_FAIL_POINT` is `{text}`: that is for builds with debug assertions, and this is none"
        );
    }
    #[cfg(debug_assertions)]
    chosen::choose(text)?;
    Ok(())
}

/// The process is at `name`.
#[inline]
pub fn reached(name: &'static str) {
    #[cfg(debug_assertions)]
    chosen::reached(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod chosen {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use anyhow::Context;
    use nix::sys::signal::{Signal, raise};

    static CHOSEN: OnceLock<Chosen> = OnceLock::new();

    struct Chosen {
        freezes: bool,
        name: String,
        times: AtomicU32,
    }

    pub fn choose(text: &str) -> anyhow::Result<()> {
        let chosen = read(text).with_context(|| {
            format!("`IDP_FAIL_POINT` is `{text}`; write it as `abort:1:vote-locked` or `freeze:1:vote-locked`")
        })?;
        // Once is enough: a process has one.
        let _ = CHOSEN.set(chosen);
        Ok(())
    }

    fn read(text: &str) -> Option<Chosen> {
        let (how, rest) = text.split_once(':')?;
        let (times, name) = rest.split_once(':')?;
        let freezes = match how {
            "abort" => false,
            "freeze" => true,
            _ => return None,
        };
        Some(Chosen { freezes, name: name.into(), times: AtomicU32::new(times.parse().ok()?) })
    }

    pub fn reached(name: &str) {
        let Some(chosen) = CHOSEN.get().filter(|it| it.name == name) else { return };
        if chosen.times.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        if !chosen.freezes {
            std::process::abort();
        }
        // Where it cannot be frozen it goes on, and the test that waits for it says so.
        let _ = raise(Signal::SIGSTOP);
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_is_none_is_refused() {
            assert!(read("abort:2:vote-locked").is_some());
            assert!(read("freeze:1:vote-locked").is_some());
            for odd in
                ["", "abort", "abort:vote-locked", "stop:1:vote-locked", "abort:x:vote-locked"]
            {
                assert!(read(odd).is_none(), "{odd}");
            }
        }
    }
}
