//! Which pages of the web are whose: repositories, dashboards, whatever a descriptor links to.
//!
//! An address is compared without what says nothing of the page: `http` or `https`, `www.`, the usual port, a slash at
//! its end, the fragment. The query counts where a descriptor has one, and only there. What lies below a page is its
//! too, whole segments of the path; below the root of a host lies everybody's.

use std::borrow::Cow;

use url::Url;

use super::{Entity, Snapshot};
use crate::catalog::EntityRef;

/// Annotations that name a repository, with where it is.
pub const REPOSITORIES: [(&str, &str); 3] = [
    ("github.com/project-slug", "https://github.com/"),
    ("gitlab.com/project-slug", "https://gitlab.com/"),
    ("bitbucket.com/project-slug", "https://bitbucket.org/"),
];

/// The annotation whose value is `url:` and the address of the sources.
const SOURCES: &str = "backstage.io/source-location";
/// What these begin with says where the descriptor lies: one file for many entities.
const OF_DESCRIPTORS: &str = "backstage.io/managed-by";

/// Nobody's dashboard has a longer address.
const ADDRESS_BYTES_MAX: usize = 2_000;
/// What an entity may cost of memory for its pages; what comes later is not known.
const ENTITY_BYTES_MAX: usize = 900;

impl Snapshot {
    /// The entities whose page `address` is, or lies below, the nearest; in a stable order.
    pub fn at(&self, address: &str) -> Vec<&Entity> {
        let Some(Page { place, query }) = Page::of(address) else { return Vec::new() };
        let mut found = match query {
            Some(query) => self.with_page(&format!("{place}?{query}")),
            None => Vec::new(),
        };
        let mut place = place.as_str();
        while found.is_empty() {
            found = self.with_page(place);
            match place.rsplit_once('/') {
                Some((above, _)) if above.contains('/') => place = above,
                _ => break,
            }
        }
        found
    }

    fn with_page(&self, page: &str) -> Vec<&Entity> {
        let has = |node: &u32| {
            self.record(*node).is_some_and(|it| it.pages.iter().any(|own| **own == *page))
        };
        self.known(self.pages.candidates(page).filter(has))
    }
}

/// An address in the form in which addresses are compared.
struct Page {
    /// `grafana.acme.example/d/payments`
    place: String,
    query: Option<String>,
}

impl Page {
    /// `None` for what is no page of the web.
    fn of(address: &str) -> Option<Page> {
        if address.len() > ADDRESS_BYTES_MAX {
            return None;
        }
        let url = Url::parse(address.trim()).ok()?;
        let is_web = matches!(url.scheme(), "http" | "https");
        if !is_web || !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let host = url.host_str()?;
        let host = host.strip_prefix("www.").unwrap_or(host);
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let place = format!("{host}{port}{}", url.path().trim_end_matches('/'));
        let query = url.query().filter(|query| !query.is_empty()).map(str::to_string);
        Some(Page { place, query })
    }

    fn text(self) -> String {
        match self.query {
            Some(query) => format!("{}?{query}", self.place),
            None => self.place,
        }
    }
}

/// The address of a page that the annotation `name` tells of.
pub fn of_annotation<'a>(name: &str, value: Cow<'a, str>) -> Option<Cow<'a, str>> {
    if let Some((_, host)) = REPOSITORIES.iter().find(|(it, _)| *it == name) {
        let slug = value.trim_matches('/');
        return slug.contains('/').then(|| format!("{host}{slug}").into());
    }
    let is_address = value.starts_with("https://") || value.starts_with("http://");
    match name {
        SOURCES => value.strip_prefix("url:").map(|it| it.to_string().into()),
        _ => Some(value).filter(|_| is_address && !name.starts_with(OF_DESCRIPTORS)),
    }
}

/// The pages at `addresses`, each once, as far as an entity may have them.
pub fn pages<'a>(addresses: impl IntoIterator<Item = Cow<'a, str>>) -> Box<[Box<str>]> {
    let mut pages: Vec<Box<str>> = Vec::new();
    let mut bytes = 0;
    for page in addresses.into_iter().filter_map(|it| Page::of(&it)) {
        let page: Box<str> = page.text().into();
        // With its place in the list and in the index.
        let more = page.len() + size_of::<Box<str>>() + 16;
        if bytes + more <= ENTITY_BYTES_MAX && !pages.contains(&page) {
            bytes += more;
            pages.push(page);
        }
    }
    pages.into()
}

/// The entity whose page `address` is in the web catalog at `catalog`: `…/default/component/payment-api`.
pub fn of_catalog(catalog: &str, address: &str) -> Option<EntityRef> {
    let (catalog, page) = (Page::of(catalog)?, Page::of(address)?);
    let mut parts = page.place.strip_prefix(&catalog.place)?.strip_prefix('/')?.split('/');
    let (namespace, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(EntityRef::new(kind, namespace, name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::catalog::{Place, StoredEntity};

    fn stored(name: &str, metadata: Value) -> StoredEntity {
        StoredEntity {
            reference: EntityRef::new("component", "default", name),
            body: json!({ "metadata": metadata }).to_string().into(),
            relations: Vec::new(),
            place: Place { source: "".into(), file: "".into(), document: 0, line: 1 },
            orphaned_at: None,
        }
    }

    fn catalog() -> Snapshot {
        let shop = json!({
            "links": [
                { "url": "https://WWW.Wiki.example:443/runbooks/pay/", "title": "Runbook" },
                { "url": "https://logs.example/search?app=pay" },
                { "url": "https://shop.example" },
                { "title": "no address" }, 7,
            ],
            "annotations": {
                "github.com/project-slug": "acme/pay",
                "backstage.io/source-location": "url:https://git.example/mono/tree/main/pay/",
                "backstage.io/managed-by-location": "url:https://git.example/mono/catalog.yaml",
                "backstage.io/managed-by-origin-location": "https://git.example/all.yaml",
                "datadoghq.com/dashboard-url": "https://dog.example/dashboard/1",
                "example.com/note": "see https://note.example/x",
            },
        });
        let wiki = json!({ "links": [{ "url": "http://wiki.example/runbooks" }] });
        let shared = json!({ "links": [{ "url": "https://dog.example/dashboard/1" }] });
        let entities = [stored("pay", shop), stored("wiki", wiki), stored("board", shared)];
        Snapshot::build(entities, &[], 1)
    }

    fn at(snapshot: &Snapshot, address: &str) -> Vec<String> {
        snapshot.at(address).iter().map(|it| it.name.to_string()).collect()
    }

    #[test]
    fn a_page_is_whose_descriptor_links_to_it_and_so_is_what_lies_below() {
        let catalog = catalog();
        for address in [
            "https://wiki.example/runbooks/pay",
            "http://www.wiki.example/runbooks/pay/",
            "HTTPS://WIKI.EXAMPLE:443/runbooks/pay?page=2#top",
            "https://wiki.example/runbooks/pay/step/2",
            "https://github.com/acme/pay/pull/7/files",
            "https://git.example/mono/tree/main/pay/src/main.rs",
            "https://logs.example/search?app=pay",
            "https://shop.example/",
        ] {
            assert_eq!(at(&catalog, address), ["pay"], "{address}");
        }
        assert_eq!(at(&catalog, "https://wiki.example/runbooks/payments"), ["wiki"]);
        assert_eq!(at(&catalog, "https://dog.example/dashboard/1?from=now"), ["board", "pay"]);
    }

    #[test]
    fn every_other_page_is_nobodys() {
        let catalog = catalog();
        for address in [
            "https://wiki.example/",
            "https://wiki.example/runbook",
            "https://wiki.example:8443/runbooks/pay",
            "https://wiki.example@evil.example/runbooks/pay",
            "https://evil@wiki.example/runbooks/pay",
            "https://shop.example/cart",
            "https://github.com/acme",
            "https://github.com/acme/pay-2",
            "https://git.example/mono/catalog.yaml",
            "https://git.example/all.yaml",
            "https://logs.example/search?app=other",
            "https://logs.example/search",
            "https://note.example/x",
            "ftp://wiki.example/runbooks/pay",
            "wiki.example/runbooks/pay",
            "",
        ] {
            assert_eq!(at(&catalog, address), [""; 0], "{address}");
        }
        assert_eq!(
            at(&catalog, &format!("https://wiki.example/runbooks/{}", "x/".repeat(2_000))),
            [""; 0]
        );
    }

    #[test]
    fn a_change_takes_pages_away_and_brings_others() {
        let now = catalog();
        let moved = json!({ "links": [{ "url": "https://new.example/pay" }] });
        let next = now.next(vec![stored("pay", moved)], &[], &[], 2);
        assert_eq!(at(&next, "https://new.example/pay"), ["pay"]);
        assert_eq!(at(&next, "https://github.com/acme/pay"), [""; 0]);
        assert_eq!(at(&next, "https://dog.example/dashboard/1"), ["board"]);
        let gone = next.next(Vec::new(), &[EntityRef::new("component", "default", "pay")], &[], 3);
        assert_eq!(at(&gone, "https://new.example/pay"), [""; 0]);
    }

    #[test]
    fn what_an_entity_keeps_has_an_end() {
        let many: Vec<Value> =
            (0..500).map(|it| json!({ "url": format!("https://a.example/{it}") })).collect();
        let catalog = Snapshot::build([stored("pay", json!({ "links": many }))], &[], 1);
        assert_eq!(at(&catalog, "https://a.example/0"), ["pay"]);
        assert_eq!(at(&catalog, "https://a.example/499"), [""; 0]);
    }

    #[test]
    fn a_page_of_the_web_catalog_names_its_entity() {
        let of = |address: &str| of_catalog("https://portal.example/catalog/", address);
        let expected = EntityRef::new("component", "default", "pay");
        for address in [
            "https://portal.example/catalog/default/component/pay",
            "https://portal.example/catalog/default/Component/Pay/docs?x=1",
        ] {
            assert_eq!(of(address), Some(expected.clone()), "{address}");
        }
        for address in [
            "https://portal.example/catalog/default/component",
            "https://portal.example/catalogs/default/component/pay",
            "https://evil.example/catalog/default/component/pay",
        ] {
            assert_eq!(of(address), None, "{address}");
        }
    }
}
