//! Self-service actions of Port, as they are documented and as they are found.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use idp::actions::file;
use idp::actions::port::{Fate, Imported, import};
use idp::catalog::EntityRef;
use idp::integrations::invocation::{Class, Receiver};
use serde_json::{Value, json};

/// An action of Port's with everything that its documentation shows.
fn whole() -> Value {
    json!({
        "identifier": "scaleService", "title": "Scale a service", "icon": "Microservice",
        "description": "Sets how many instances run.", "publish": true, "allowAnyoneToViewRuns": true,
        "trigger": {
            "type": "self-service", "operation": "DAY-2", "blueprintIdentifier": "service",
            "actionCardButtonText": "Scale", "executeActionButtonText": "Go",
            "userInputs": {
                "order": ["replicas", "reason"], "required": ["reason", "replicas"], "steps": [], "titles": {},
                "properties": {
                    "reason": {"type": "string", "title": "Why", "description": "For who approves", "pattern": "^[a-z ]+$",
                               "minLength": 3, "maxLength": 80},
                    "replicas": {"type": "number", "title": "How many", "minimum": 1, "maximum": 20, "default": 2},
                    "region": {"type": "string", "enum": ["eu", "us"], "enumColors": {"eu": "blue"}, "default": "eu"},
                    "dryRun": {"type": "boolean", "default": false, "visible": {"jqQuery": "true"}},
                    "approver": {"type": "string", "format": "user"},
                    "team": {"type": "string", "format": "team"},
                    "of": {"type": "string", "format": "entity", "blueprint": "service", "dataset": {"combinator": "and", "rules": []}},
                    "page": {"type": "string", "format": "url", "icon": "Link"},
                    "password": {"type": "string", "encryption": "aes256-gcm"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
        "invocationMethod": {
            "type": "WEBHOOK", "url": "https://ops.acme.example/scale/{{ .entity.identifier }}", "agent": false,
            "synchronized": true, "method": "POST", "headers": {"X-Run": "{{ .run.id }}"},
            "body": {"service": "{{ .entity.identifier }}", "count": "{{ .inputs.replicas }}", "dry": "{{ .inputs.dryRun }}",
                     "by": "{{ .trigger.by.user.email }}"},
        },
        "requiredApproval": {"type": "ANY"}, "approvalNotification": {"type": "email"},
        "createdAt": "2024-08-15T12:29:45.817Z", "updatedBy": "x",
    })
}

fn imported(action: &Value) -> Imported {
    with(action, &[])
}

fn with(action: &Value, approvers: &[EntityRef]) -> Imported {
    let mut all = import(&action.to_string(), "actions.json", approvers).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn fate(imported: &Imported, key: &str) -> Fate {
    let note = imported.notes.iter().find(|it| it.key == key);
    note.unwrap_or_else(|| panic!("{key}: {:?}", imported.notes)).fate
}

#[test]
fn an_action_with_everything_becomes_a_good_file_and_each_key_is_told_of() {
    let it = imported(&whole());
    let text = it.text.as_ref().unwrap_or_else(|| panic!("{:?}", it.why));
    let action =
        file::read(text, "it.yaml").unwrap_or_else(|problems| panic!("{text}{problems:?}"));
    assert_eq!((&*action.name, &*action.title), ("scale-service", "Scale a service"));
    assert_eq!(action.rule.quorum(), 1);
    let names: Vec<&str> = action.inputs.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names[..2], ["replicas", "reason"], "in its order");
    assert_eq!(names.len(), 9, "all but the array: {names:?}");
    let target = action.target.as_ref().unwrap();
    assert_eq!((&target.kinds[0][..], &target.types[0][..]), ("Component", "service"));
    let Receiver::Webhook(webhook) = &action.steps[0].receiver else { panic!("{text}") };
    assert_eq!(webhook.secret, "port");
    for (key, expected) in [
        ("identifier", Fate::Changed),
        ("title", Fate::Taken),
        ("icon", Fate::LeftOut),
        ("publish", Fate::LeftOut),
        ("requiredApproval", Fate::Changed),
        ("approvalNotification", Fate::LeftOut),
        ("trigger.operation", Fate::Changed),
        ("trigger.userInputs.properties.tags", Fate::LeftOut),
        ("trigger.userInputs.properties.page.format", Fate::LeftOut),
        ("trigger.userInputs.properties.dryRun", Fate::Changed),
        ("trigger.userInputs.properties.dryRun.visible", Fate::LeftOut),
        ("invocationMethod.url", Fate::Changed),
        ("invocationMethod.body", Fate::Taken),
        ("invocationMethod.headers", Fate::LeftOut),
    ] {
        assert_eq!(fate(&it, key), expected, "{key}");
    }
    // What is changed or left out says why.
    assert!(
        it.notes.iter().all(|it| (it.fate == Fate::Taken) == it.why.is_empty()),
        "{:?}",
        it.notes
    );
    // Every key of the action is told of, at its own place or with what it stands in.
    let told: BTreeSet<&str> = it.notes.iter().map(|it| it.key.as_str()).collect();
    let mut keys = Vec::new();
    leaves(&whole(), "", &mut keys);
    for key in keys {
        let is_told = told.iter().any(|it| key == **it || key.starts_with(&format!("{it}.")));
        assert!(is_told, "{key} is not told of");
    }
}

fn leaves(value: &Value, at: &str, keys: &mut Vec<String>) {
    match value.as_object().filter(|it| !it.is_empty()) {
        Some(entries) => entries.iter().for_each(|(key, value)| {
            let dot = if at.is_empty() { "" } else { "." };
            leaves(value, &format!("{at}{dot}{key}"), keys);
        }),
        None => keys.push(at.to_string()),
    }
}

/// What of an approval may become of it: nothing less than Port asks.
#[test]
fn no_approval_is_dropped() {
    let platform = [EntityRef::new("group", "default", "platform")];
    for (required, operation, approvers, quorum) in [
        (json!(false), "DAY-2", &[][..], Some(0)),
        (Value::Null, "DAY-2", &[], None),
        (json!(true), "DAY-2", &[], Some(1)),
        (json!({"type": "ANY"}), "DELETE", &[], Some(1)),
        (json!({"type": "ALL"}), "DAY-2", &[], Some(2)),
        (json!({"type": "ALL"}), "CREATE", &platform, Some(2)),
        (json!({"type": "ANY"}), "CREATE", &platform, Some(1)),
        // Nobody owns what is not there yet.
        (json!(true), "CREATE", &[], None),
        (json!({"type": "SOME"}), "DAY-2", &[], None),
        (json!({"type": "ANY", "count": 3}), "DAY-2", &[], None),
        (json!("yes"), "DAY-2", &[], None),
    ] {
        let mut action = whole();
        action["requiredApproval"] = required.clone();
        action["trigger"]["operation"] = json!(operation);
        if operation == "CREATE" {
            action["invocationMethod"]["url"] = json!("https://ops.acme.example/create");
        }
        let it = with(&action, approvers);
        let read = it.text.as_ref().map(|it| file::read(it, "it.yaml").unwrap().rule.quorum());
        assert_eq!(read, quorum, "{required} {operation}: {:?}", it.why);
        assert_eq!(it.text.is_none(), it.why.is_some());
    }
    let mut action = whole();
    action.as_object_mut().unwrap().remove("requiredApproval");
    let text = imported(&action).text.unwrap();
    assert_eq!(file::read(&text, "it.yaml").unwrap().rule.quorum(), 0, "as in Port");
    // Who may approve, said by what idp does not know, is nobody's guess.
    for key in ["permissions", "policy", "approvers"] {
        let mut action = whole();
        action[key] = json!({"approve": {"roles": ["Admin"]}});
        assert_eq!(imported(&action).text, None, "{key}");
    }
}

#[test]
fn what_would_do_more_or_something_else_than_in_port_is_not_written() {
    for (place, value, why) in [
        (
            "/trigger",
            json!({"type": "automation", "event": {"type": "ENTITY_CREATED"}}),
            "automation",
        ),
        (
            "/trigger/condition",
            json!({"type": "SEARCH", "combinator": "and", "rules": [{"property": "x", "operator": "=", "value": "y"}]}),
            "condition",
        ),
        ("/invocationMethod", json!({"type": "KAFKA", "payload": {}}), "KAFKA"),
        (
            "/invocationMethod",
            json!({"type": "AZURE_DEVOPS", "org": "a", "webhook": "b"}),
            "AZURE_DEVOPS",
        ),
        (
            "/invocationMethod",
            json!({"type": "UPSERT_ENTITY", "blueprintIdentifier": "a"}),
            "UPSERT_ENTITY",
        ),
        ("/invocationMethod/method", json!("DELETE"), "POST"),
        (
            "/invocationMethod/url",
            json!("https://a.example/{{ .entity.properties.url }}"),
            "is computed",
        ),
        ("/invocationMethod/url", json!("https://{{ .inputs.page }}/x"), "may not be computed"),
        ("/trigger/userInputs/properties/region/enum", json!({"jqQuery": ".x"}), "choices"),
        ("/trigger/userInputs/required", json!(["tags"]), "tags"),
    ] {
        let mut action = whole();
        let (parent, key) = place.rsplit_once('/').unwrap();
        action.pointer_mut(parent).unwrap()[key] = value.clone();
        let it = imported(&action);
        assert_eq!(it.text, None, "{place} {value}");
        assert!(it.why.as_ref().unwrap().contains(why), "{place}: {:?}", it.why);
    }
}

#[test]
fn workflows_and_pipelines_are_started_here_too() {
    let inputs = json!({"service": "{{ .entity.identifier }}", "n": "{{ .inputs.replicas }}", "port": {"context": 1},
                        "{{ spreadValue() }}": "{{ .inputs }}"});
    let github = json!({"org": "acme", "repo": "{{ .entity.identifier }}", "workflow": "scale.yml", "workflowInputs": inputs,
                        "reportWorkflowStatus": true});
    let mut as_github = github.clone();
    as_github["type"] = json!("GITHUB");
    for (invocation, class) in [
        (as_github, Class::Searchable),
        (
            json!({"type": "INTEGRATION_ACTION", "installationId": "7", "integrationActionType": "dispatch_workflow",
                   "integrationActionExecutionProperties": github}),
            Class::Searchable,
        ),
        (
            json!({"type": "GITLAB", "groupName": "acme", "projectName": "ops", "defaultRef": "stable",
                   "pipelineVariables": {"SERVICE": "{{ .entity.identifier }}"}}),
            Class::Searchable,
        ),
    ] {
        let mut action = whole();
        // GitHub would show it.
        action["trigger"]["userInputs"]["properties"].as_object_mut().unwrap().remove("password");
        action["invocationMethod"] = invocation.clone();
        let it = imported(&action);
        let text = it.text.unwrap_or_else(|| panic!("{invocation}: {:?}", it.why));
        let action = file::read(&text, "it.yaml").unwrap();
        assert_eq!(action.steps[0].receiver.class(), class, "{text}");
        if let Receiver::GitHub(workflow) = &action.steps[0].receiver {
            assert!(workflow.inputs.iter().any(|(name, _)| name == "dryRun"), "{text}");
            assert!(workflow.inputs.iter().all(|(name, _)| name != "port"), "{text}");
            assert_eq!(workflow.within.len(), 1, "{text}");
        }
    }
}

#[test]
fn what_is_written_passes_the_check_of_a_portal() {
    let portal = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(portal.path().join("catalog")).unwrap();
    let settings = "secrets: {port: {env: PORT_SECRET}}\n";
    std::fs::write(portal.path().join("idp.yaml"), settings).unwrap();
    let file = portal.path().join("port.json");
    let mut second = whole();
    second["identifier"] = json!("scaleService ");
    let mut third = whole();
    third["trigger"]["operation"] = json!("CREATE");
    std::fs::write(&file, json!([whole(), second, third]).to_string()).unwrap();
    let out = portal.path().join("actions");
    let runs = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_idp"))
            .args(["action", "import", "--from", "port", &file.display().to_string()])
            .args(words)
            .output()
            .unwrap();
        let text = |it: Vec<u8>| String::from_utf8(it).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, said, error) = runs(&["--out", &out.display().to_string()]);
    assert_eq!(code, Some(1), "one was not written: {said}{error}");
    for line in [
        "identifier: changed: ",
        "icon: left out: ",
        "title: taken",
        "scale-service-3: not written: Port asks for approval",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let problems = idp::portal::check(portal.path());
    assert_eq!(problems, [], "{said}");
    let written = std::fs::read_dir(&out).unwrap().count();
    assert_eq!(written, 2);
    // What is there stays.
    let (code, _, error) = runs(&["--out", &out.display().to_string()]);
    assert!(code == Some(1) && error.contains("stays"), "{code:?} {error}");
    let (code, said, error) = runs(&["--approver", "group:platform"]);
    assert!(said.contains("name: \"scale-service\"") && error.contains("left out"), "{error}");
    // The third is of nothing in particular, and names what it is of.
    let why = "scale-service-3: not written: `{{ .entity.identifier }}`";
    assert!(code == Some(1) && error.contains(why), "{code:?} {error}");
}

#[test]
fn every_action_of_the_corpus_is_imported_or_told() {
    let shared = std::env::var("IDP_SHARED").unwrap_or_else(|_| "../shared".into());
    let (mut taken, mut not_written, mut no_file) = (0, 0, 0);
    let mut whys = BTreeSet::new();
    for under in ["port", "port-docs"] {
        let dir = Path::new(&shared).join("corpus").join(under);
        if !dir.is_dir() {
            println!("skipped: {} is not there: nothing of it is imported", dir.display());
            continue;
        }
        for entry in walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().map(Result::unwrap)
        {
            let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
            if !text.contains("invocationMethod") {
                continue;
            }
            let name = entry.path().display().to_string();
            match import(&text, &name, &[]) {
                Ok(actions) => {
                    for it in actions {
                        match &it.text {
                            Some(text) => drop(file::read(text, "it.yaml").unwrap()),
                            None => drop(whys.insert(it.why.clone().unwrap())),
                        }
                        *(if it.text.is_some() { &mut taken } else { &mut not_written }) += 1;
                        assert!(!it.notes.is_empty(), "{name}");
                    }
                }
                // Parts of pages that are no whole file.
                Err(problems) => {
                    no_file += 1;
                    assert!(problems[0].line > 0 && !problems[0].hint.is_empty(), "{name}");
                }
            }
        }
    }
    println!(
        "REL PORT ACTIONS {taken} written, {not_written} not written, {no_file} files are none"
    );
    for why in &whys {
        println!("REL PORT ACTIONS not written: {why}");
    }
    assert!(taken + not_written + no_file == 0 || taken >= 1);
}
