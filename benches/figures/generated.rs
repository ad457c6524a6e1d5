//! A catalog of any size: the same seed gives the same one.
//!
//! Few entities are depended on by very many (a power law), dependencies have cycles, teams own all of it.

use std::fmt::Write;
use std::path::Path;

use idp::catalog::{EntityRef, Place, Relation, RelationKind, StoredEntity};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

/// So many descriptors stand in one file.
const PER_FILE: usize = 10;

const FIRST: [&str; 24] = [
    "payment", "order", "customer", "invoice", "shipping", "catalog", "search", "identity",
    "pricing", "stock", "loyalty", "fraud", "ledger", "refund", "basket", "checkout", "tax",
    "delivery", "returns", "review", "offer", "address", "session", "consent",
];
const SECOND: [&str; 16] = [
    "event", "report", "batch", "stream", "policy", "profile", "history", "limit", "quota",
    "token", "rule", "audit", "export", "import", "sync", "alert",
];
const THIRD: [&str; 10] =
    ["api", "service", "worker", "gateway", "store", "job", "proxy", "portal", "engine", "router"];

pub struct Generated {
    pub entities: Vec<Entity>,
}

pub struct Entity {
    pub reference: EntityRef,
    pub kind: &'static str,
    pub name: String,
    description: String,
    /// The name of a Group; `None` for Groups.
    owner: Option<String>,
    depends_on: Vec<EntityRef>,
    provides: Vec<EntityRef>,
    consumes: Vec<EntityRef>,
}

impl Generated {
    /// One in a hundred is a team, one in ten an API, one in ten a resource; the rest are components.
    pub fn new(count: usize, seed: u64) -> Generated {
        let mut random = StdRng::seed_from_u64(seed);
        let mut entities: Vec<Entity> =
            (0..count).map(|number| Entity::new(number, count)).collect();
        let of_kind = |kind: &str| -> Vec<EntityRef> {
            let them = entities.iter().filter(|it| it.kind == kind);
            them.map(|it| it.reference.clone()).collect()
        };
        let teams = of_kind("Group");
        let apis = of_kind("API");
        let resources = of_kind("Resource");
        let components = of_kind("Component");
        for entity in entities.iter_mut().filter(|it| it.kind != "Group") {
            entity.owner = Some(popular(&mut random, &teams).name().to_string());
            if entity.kind != "Component" {
                continue;
            }
            for _ in 0..random.random_range(0..3) {
                entity.depends_on.push(popular(&mut random, &components).clone());
            }
            for _ in 0..random.random_range(0..2) {
                entity.depends_on.push(popular(&mut random, &resources).clone());
                entity.consumes.push(popular(&mut random, &apis).clone());
            }
            if random.random_ratio(1, 8) {
                entity.provides.push(apis[random.random_range(0..apis.len())].clone());
            }
            for said in [&mut entity.depends_on, &mut entity.consumes] {
                said.sort();
                said.dedup();
            }
        }
        Generated { entities }
    }

    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// As the database would keep them.
    pub fn stored(&self) -> Vec<StoredEntity> {
        self.entities.iter().enumerate().map(|(number, it)| it.stored(number)).collect()
    }

    /// Writes them as descriptors, ten a file, a hundred files a directory.
    pub fn write(&self, directory: &Path) {
        for (number, entities) in self.entities.chunks(PER_FILE).enumerate() {
            let folder = directory.join(format!("{:04}", number / 100));
            std::fs::create_dir_all(&folder).unwrap();
            let text: String = entities.iter().map(Entity::yaml).collect();
            std::fs::write(folder.join(format!("{number:06}.yaml")), text).unwrap();
        }
    }

    /// The component with the most direct dependents.
    pub fn hub(&self) -> &Entity {
        self.entities.iter().find(|it| it.kind == "Component").unwrap()
    }
}

impl Entity {
    fn new(number: usize, count: usize) -> Entity {
        let teams = (count / 100).max(4);
        let (kind, name) = match number.checked_sub(teams) {
            None => ("Group", format!("team-{number}")),
            Some(number) => match number % 10 {
                3 => ("API", name(number)),
                7 => ("Resource", name(number)),
                _ => ("Component", name(number)),
            },
        };
        Entity {
            reference: EntityRef::new(kind, "default", &name),
            kind,
            description: format!(
                "Keeps every {} of the shop where it belongs.",
                name.replace('-', " ")
            ),
            name,
            owner: None,
            depends_on: Vec::new(),
            provides: Vec::new(),
            consumes: Vec::new(),
        }
    }

    fn yaml(&self) -> String {
        let Entity { kind, name, description, .. } = self;
        let mut text = format!(
            "---\napiVersion: backstage.io/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\n  \
             description: {description}\n  tags: [java, critical]\n  annotations:\n    \
             github.com/project-slug: acme/{name}\nspec:\n  type: {}\n",
            self.class(),
        );
        match &self.owner {
            None => text.push_str("  children: []\n"),
            Some(owner) => writeln!(text, "  lifecycle: production\n  owner: {owner}").unwrap(),
        }
        if self.kind == "API" {
            text.push_str("  definition: none yet\n");
        }
        let fields = [
            ("dependsOn", &self.depends_on),
            ("providesApis", &self.provides),
            ("consumesApis", &self.consumes),
        ];
        for (field, said) in fields.into_iter().filter(|(_, said)| !said.is_empty()) {
            writeln!(text, "  {field}:").unwrap();
            said.iter().for_each(|it| writeln!(text, "    - {it}").unwrap());
        }
        text
    }

    fn stored(&self, number: usize) -> StoredEntity {
        let body = json!({
            "apiVersion": "backstage.io/v1alpha1",
            "kind": self.kind,
            "metadata": {
                "name": self.name,
                "description": self.description,
                "tags": ["java", "critical"],
                "annotations": { "github.com/project-slug": format!("acme/{}", self.name) },
            },
            "spec": {
                "type": self.class(),
                "lifecycle": "production",
                "owner": self.owner,
                "dependsOn": self.depends_on,
                "providesApis": self.provides,
                "consumesApis": self.consumes,
            },
        });
        let owner = self.owner.iter().map(|it| EntityRef::new("group", "default", it));
        let said = [
            (RelationKind::OwnedBy, owner.collect()),
            (RelationKind::DependsOn, self.depends_on.clone()),
            (RelationKind::ProvidesApi, self.provides.clone()),
            (RelationKind::ConsumesApi, self.consumes.clone()),
        ];
        let relations = said.into_iter().flat_map(|(kind, targets): (_, Vec<EntityRef>)| {
            targets.into_iter().map(move |target| Relation { kind, target, bare: false })
        });
        StoredEntity {
            reference: self.reference.clone(),
            body: body.to_string().into(),
            relations: relations.collect(),
            place: Place {
                source: "directory:catalog".into(),
                file: format!("{:06}.yaml", number / PER_FILE).into(),
                document: (number % PER_FILE) as u32,
                line: 1,
            },
            orphaned_at: None,
        }
    }

    fn class(&self) -> &'static str {
        match self.kind {
            "Group" => "team",
            "API" => "openapi",
            "Resource" => "database",
            _ => "service",
        }
    }
}

fn name(number: usize) -> String {
    let first = FIRST[number % FIRST.len()];
    let second = SECOND[number / FIRST.len() % SECOND.len()];
    let third = THIRD[number / (FIRST.len() * SECOND.len()) % THIRD.len()];
    match number / (FIRST.len() * SECOND.len() * THIRD.len()) {
        0 => format!("{first}-{second}-{third}"),
        again => format!("{first}-{second}-{third}-{again}"),
    }
}

/// The first ones far more often than the last: each ten times as far is as likely as the one before.
fn popular<'a>(random: &mut StdRng, them: &'a [EntityRef]) -> &'a EntityRef {
    let place = (them.len() as f64).powf(random.random::<f64>()) as usize - 1;
    &them[place.min(them.len() - 1)]
}
