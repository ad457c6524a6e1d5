//! One descriptor behind a URL: what to ask for, and what the answer means.

use crate::integrations::http::Answer;

/// The most bytes of one descriptor, once unpacked.
pub const BYTES_MAX: usize = 1024 * 1024;

/// What a URL had for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The same as when it was last read.
    Unchanged,
    /// `etag` names this version, for the next time; `None` when the server does not name its versions.
    Text { text: String, etag: Option<String> },
}

/// `url`, or the file itself where `url` is the page that GitHub or GitLab shows it on.
///
/// People copy these from the address bar, and Backstage reads them the same way.
pub fn of_file(url: &str) -> String {
    if let Some(path) = url.strip_prefix("https://github.com/")
        && let [owner, repository, "blob", rest] = path.splitn(4, '/').collect::<Vec<_>>()[..]
    {
        return format!("https://raw.githubusercontent.com/{owner}/{repository}/{rest}");
    }
    url.replacen("/-/blob/", "/-/raw/", 1)
}

/// The headers that spare the server an answer when nothing changed since `etag`.
pub fn headers(etag: Option<&str>) -> Vec<(&'static str, &str)> {
    etag.map(|etag| ("if-none-match", etag)).into_iter().collect()
}

/// What `answer` to a request with [`headers`] says.
///
/// # Errors
/// Why it is no descriptor, and the next step.
pub fn read(answer: Answer) -> anyhow::Result<Fetched> {
    match answer.status {
        200 => {}
        304 => return Ok(Fetched::Unchanged),
        301 | 302 | 303 | 307 | 308 => {
            anyhow::bail!(
                "it answers with a redirect, which is not followed; write the final address"
            )
        }
        401 | 403 => anyhow::bail!(
            "it answers with status {}: it wants a login; read private files as a `git` source over ssh",
            answer.status
        ),
        404 | 410 => anyhow::bail!("there is nothing at this address (status {})", answer.status),
        status => {
            anyhow::bail!("it answers with status {status}; it is asked again at the next refresh")
        }
    }
    let etag = answer.headers.get("etag").and_then(|etag| etag.to_str().ok()).map(String::from);
    let text = String::from_utf8(answer.body).map_err(|error| {
        anyhow::anyhow!("byte {} is not UTF-8", error.utf8_error().valid_up_to())
    })?;
    Ok(Fetched::Text { text, etag })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, etag: Option<&str>, body: &[u8]) -> Answer {
        let mut headers = axum::http::HeaderMap::new();
        if let Some(etag) = etag {
            headers.insert("etag", etag.parse().unwrap());
        }
        Answer { status, headers, body: body.to_vec() }
    }

    #[test]
    fn a_file_comes_with_the_name_of_its_version() {
        let text = Fetched::Text { text: "kind: API".into(), etag: Some("\"1\"".into()) };
        assert_eq!(read(answer(200, Some("\"1\""), b"kind: API")).unwrap(), text);
        assert_eq!(headers(Some("\"1\"")), [("if-none-match", "\"1\"")]);
    }

    #[test]
    fn nothing_is_read_again_when_nothing_changed() {
        assert_eq!(read(answer(304, None, b"")).unwrap(), Fetched::Unchanged);
    }

    #[test]
    fn each_other_answer_says_what_to_do() {
        for (status, said) in
            [(302, "final address"), (403, "ssh"), (404, "nothing"), (500, "again")]
        {
            let error = read(answer(status, None, b"<html>")).unwrap_err().to_string();
            assert!(error.contains(said), "{status}: {error}");
        }
        let latin = read(answer(200, None, b"name: caf\xe9")).unwrap_err().to_string();
        assert_eq!(latin, "byte 9 is not UTF-8");
    }

    #[test]
    fn the_page_of_a_file_stands_for_the_file() {
        assert_eq!(
            of_file("https://github.com/acme/shop/blob/main/ops/catalog-info.yaml"),
            "https://raw.githubusercontent.com/acme/shop/main/ops/catalog-info.yaml"
        );
        assert_eq!(
            of_file("https://gitlab.com/acme/shop/-/blob/main/catalog-info.yaml"),
            "https://gitlab.com/acme/shop/-/raw/main/catalog-info.yaml"
        );
        let other = "https://github.com/acme/shop";
        assert_eq!(of_file(other), other);
    }
}
