//! Descriptor files written to hurt: H1 of the plan. Each is read fast, in little memory, without a crash, and without
//! harm to a neighbour in the same file.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use idp::catalog::formats::backstage::{FileContents, read};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::scale::at_full;

/// Two seconds; code that is not optimised takes several times as long.
const TIME_MAX: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 2 });
const KIB_MAX: u64 = 64 << 10;
/// Set in the process of its own in which memory is measured.
const ALONE: &str = "IDP_TEST_HOSTILE_FILES_ALONE";

const NEIGHBOUR: &str = "
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: neighbour}
spec: {type: service, lifecycle: production, owner: team}
";

struct Hostile {
    name: String,
    bytes: Vec<u8>,
    /// Whether a good descriptor in the same file is still read.
    keeps_neighbour: bool,
}

fn beside_a_neighbour(name: impl Into<String>, text: impl AsRef<str>) -> Hostile {
    let bytes = format!("{}{NEIGHBOUR}", text.as_ref()).into_bytes();
    assert!(bytes.len() <= 1 << 20, "the neighbour would be refused with the file");
    Hostile { name: name.into(), bytes, keeps_neighbour: true }
}

fn alone(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Hostile {
    Hostile { name: name.into(), bytes: bytes.into(), keeps_neighbour: false }
}

fn within_a_name(value: &str) -> String {
    format!(
        "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata:\n  name: it\n  note: {value}\n\
         spec: {{type: service, lifecycle: production, owner: team}}\n"
    )
}

fn hostile_files() -> Vec<Hostile> {
    let mut files = Vec::new();
    bombs(&mut files);
    depth(&mut files);
    size(&mut files);
    storms(&mut files);
    scalars_and_tags(&mut files);
    whitespace_and_quotes(&mut files);
    encodings(&mut files);
    mutations(&mut files);
    files
}

/// Aliases that grow, in lists, mappings and merge keys, and anchors without number.
fn bombs(files: &mut Vec<Hostile>) {
    for width in [2, 9, 30] {
        for levels in [5, 10, 30, 60] {
            let mut lists = format!("l0: &l0 [{}]\n", vec!["lol"; width].join(", "));
            let mut merges = "m0: &m0 {a: 1}\n".to_string();
            for level in 1..levels {
                let before = level - 1;
                let aliases = vec![format!("*l{before}"); width].join(", ");
                lists.push_str(&format!("l{level}: &l{level} [{aliases}]\n"));
                let keys: Vec<String> = (0..width).map(|it| format!("k{it}: *m{before}")).collect();
                merges.push_str(&format!(
                    "m{level}: &m{level} {{<<: *m{before}, {}}}\n",
                    keys.join(", ")
                ));
            }
            files.push(beside_a_neighbour(format!("list bomb {width}^{levels}"), lists));
            files.push(beside_a_neighbour(format!("merge bomb {width}^{levels}"), merges));
        }
    }
    for (bytes, times) in [(100_000, 1_000), (500_000, 100_000), (10, 90_000)] {
        let long = "x".repeat(bytes);
        let aliases = "*a, ".repeat(times);
        files.push(beside_a_neighbour(
            format!("{times} aliases of {bytes} bytes"),
            format!("a: &a {long}\nb: [{aliases}]\n"),
        ));
    }
    let anchors: String = (0..80_000).map(|it| format!("- &a{it} x\n")).collect();
    files.push(beside_a_neighbour("80,000 anchors", anchors));
    let million: String = (0..1_000_000).map(|it| format!("&a{it} x,")).collect();
    files.push(alone("10^6 anchors", format!("[{million}]")));
    files.push(beside_a_neighbour(
        "nested anchors",
        (0..60).map(|it| format!("&a{it} [")).collect::<String>(),
    ));
    files.push(beside_a_neighbour("an anchor in itself", "a: &a {b: *a, <<: *a}\n"));
    files.push(beside_a_neighbour("a chain of aliases", {
        let links: String = (1..5_000).map(|it| format!("- &a{it} [*a{}]\n", it - 1)).collect();
        format!("- &a0 [x]\n{links}")
    }));
}

fn depth(files: &mut Vec<Hostile>) {
    for depth in [60, 63, 64, 65, 100, 255, 1_000, 100_000] {
        for (open, close) in [("[", "]"), ("{a: ", "}"), ("[{a: ", "}]"), ("? ", "")] {
            files.push(beside_a_neighbour(
                format!("{depth} × {open}"),
                within_a_name(&format!("{}x{}", open.repeat(depth), close.repeat(depth))),
            ));
            files.push(beside_a_neighbour(
                format!("{depth} × {open} never closed"),
                open.repeat(depth),
            ));
        }
        let blocks: String =
            (0..depth.min(1_000)).map(|it| format!("{}a:\n", " ".repeat(it))).collect();
        files.push(beside_a_neighbour(format!("{depth} blocks"), blocks));
        files.push(beside_a_neighbour(format!("{depth} dashes"), "- ".repeat(depth)));
    }
}

fn size(files: &mut Vec<Hostile>) {
    // Zeroes that are never touched take no memory: what is measured is the reading.
    files.push(alone("100 MB", vec![0; 100 << 20]));
    files.push(alone("one byte too many", vec![b'#'; (1 << 20) + 1]));
    files.push(alone("as much as may be", vec![b'a'; 1 << 20]));
    files.push(alone("as many values as may be", format!("[{}]", "a,".repeat(524_000))));
    files.push(alone("as many empty values as may be", format!("{{{}}}", "a: ,".repeat(262_000))));
    files.push(alone(
        "as many keys as may be",
        (0..90_000).map(|it| format!("k{it}: x\n")).collect::<String>(),
    ));
    files.push(beside_a_neighbour("the same key", "k: x\n".repeat(100_000)));
    files.push(beside_a_neighbour("a key of 900 KB", format!("{}: x\n", "k".repeat(900_000))));
    files.push(beside_a_neighbour("comments", "# x\n".repeat(200_000)));
    files.push(beside_a_neighbour("blank lines", "\n".repeat(900_000)));
    files.push(beside_a_neighbour(
        "100,000 tags",
        within_a_name(&format!("x\n  tags: [{}]", "A,".repeat(100_000))),
    ));
}

fn storms(files: &mut Vec<Hostile>) {
    for (name, document) in [
        ("nothing", "---\n"),
        ("ends", "--- x\n...\n"),
        ("texts", "--- x\n"),
        ("empty mappings", "--- {}\n"),
        ("broken ones", "--- [\n"),
        ("open quotes", "--- \"\n"),
        ("versions", "%YAML 1.2\n---\n...\n"),
        ("bombs", "--- [&a [x,x,x,x,x,x,x,x],&b [*a,*a,*a,*a,*a,*a],[*b,*b,*b,*b,*b,*b]]\n"),
    ] {
        files
            .push(alone(format!("a storm of {name}"), document.repeat((1 << 20) / document.len())));
        files.push(beside_a_neighbour(format!("a hundred {name}"), document.repeat(100)));
    }
    files.push(alone("a storm of descriptors", NEIGHBOUR.repeat((1 << 20) / NEIGHBOUR.len())));
}

fn scalars_and_tags(files: &mut Vec<Hostile>) {
    for value in [
        "no",
        "NO",
        "y",
        "on",
        "1:30",
        "190:20:30",
        "2026-11-25T10:00:00Z",
        "0123",
        "0o7",
        "0xff",
        "1_000",
        ".inf",
        "-.INF",
        ".nan",
        "1e400",
        "-1e400",
        "-0",
        "9007199254740993",
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827",
        "~",
        "=",
        "<<",
        "!!binary aGk=",
        "!!binary 💥",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!python/object/apply:os.system [id]",
        "!<tag:yaml.org,2002:str> x",
        "!<unclosed",
        "!e!x y",
        "!!float .",
        "!!int []",
        "!",
        "&a",
        "*a",
        "@x",
        "`x",
        "%x",
        "\"\\0\"",
        "\"\\ud800\"",
        "\"\\UFFFFFFFF\"",
        "\"\\x\"",
        "'",
        "\"",
        "|",
        ">9",
        "|-2",
        ">+",
        "? x",
        ": x",
        "{: x}",
        "{,}",
        "[,]",
        "- x",
        "{{ x }}",
        "<% x %>",
        "\u{202e}x",
        "\u{feff}x",
        "\u{85}x",
        "\u{2028}x",
        "\u{7}x",
        "\u{7f}x",
        "\u{e000}x",
    ] {
        files.push(beside_a_neighbour(format!("the value {value:?}"), within_a_name(value)));
    }
    let digits = "9".repeat(500_000);
    files.push(beside_a_neighbour("a number of 500,000 digits", within_a_name(&digits)));
    files.push(beside_a_neighbour(
        "a long fraction",
        within_a_name(&format!("0.{digits}e-{digits}")),
    ));
    files.push(beside_a_neighbour(
        "a tag of 500,000 characters",
        within_a_name(&format!("!{} x", "t".repeat(500_000))),
    ));
    files.push(alone(
        "a directive of 500,000 characters",
        format!("%TAG ! {}\n---\nx\n", "t".repeat(500_000)),
    ));
    let handles: String = (0..20_000).map(|it| format!("%TAG !h{it}! tag:x,2026:\n")).collect();
    files.push(alone("20,000 directives", format!("{handles}---\nx\n")));
}

fn whitespace_and_quotes(files: &mut Vec<Hostile>) {
    for (name, text) in [
        ("a tab before a key", "a:\n\tb: 1\n"),
        ("a tab at the start", "\ta: 1\n"),
        ("a tab behind a dash", "-\ta\n-\t- b\n"),
        ("a tab in a list", "[\ta,\n\tb ]\n"),
        ("tabs in a block", "a: |\n\tx\n"),
        ("carriage returns", "a: 1\r\nb: 2\rc: 3\r"),
        ("an open quote", "a: \"x\n\nb: 2\n"),
        ("an open single quote", "a: 'x\n\nb: 2\n"),
        ("a marker in a quote", "a: \"x\n---\ny\"\n"),
        ("a marker in a block", "a: |\n  x\n---\n  y\n"),
        ("an indented marker", "a: |\n  ---\n  x\n"),
        ("unequal indents", "a:\n    b: 1\n  c: 2\n"),
        ("a value over a mapping", "a: b\n  c: d\n"),
    ] {
        files.push(beside_a_neighbour(name, text));
    }
    files.push(beside_a_neighbour("900,000 spaces", format!("a:{}b", " ".repeat(900_000))));
    files.push(beside_a_neighbour("900,000 quotes", format!("a: '{}", "'".repeat(900_000))));
    files.push(beside_a_neighbour("900,000 backslashes", format!("a: \"{}", "\\".repeat(900_000))));
    files.push(beside_a_neighbour("900,000 colons", format!("a: {}", ": ".repeat(450_000))));
    files.push(beside_a_neighbour("900,000 question marks", "? ".repeat(450_000)));
    files.push(beside_a_neighbour(
        "900,000 lines of one text",
        format!("a:\n{}", "  x\n".repeat(220_000)),
    ));
}

fn encodings(files: &mut Vec<Hostile>) {
    let good = within_a_name("Zoë") + NEIGHBOUR;
    let keeps =
        |name: &str, bytes: Vec<u8>| Hostile { name: name.into(), bytes, keeps_neighbour: true };
    let utf16 =
        |order: fn(u16) -> [u8; 2]| -> Vec<u8> { good.encode_utf16().flat_map(order).collect() };
    files.push(keeps("a byte order mark", [b"\xef\xbb\xbf", good.as_bytes()].concat()));
    files.push(keeps(
        "three byte order marks",
        [b"\xef\xbb\xbf".repeat(3).as_slice(), good.as_bytes()].concat(),
    ));
    files.push(keeps("UTF-16 LE", [b"\xff\xfe".to_vec(), utf16(u16::to_le_bytes)].concat()));
    files.push(keeps("UTF-16 BE", [b"\xfe\xff".to_vec(), utf16(u16::to_be_bytes)].concat()));
    files.push(keeps("UTF-16 LE without a mark", utf16(u16::to_le_bytes)));
    files.push(keeps("UTF-16 BE without a mark", utf16(u16::to_be_bytes)));
    files.push(keeps("Latin-1", [b"a: caf\xe9\n".as_slice(), NEIGHBOUR.as_bytes()].concat()));
    files.push(keeps("NUL", [b"a: x\0y\n".as_slice(), NEIGHBOUR.as_bytes()].concat()));
    files.push(keeps("NUL in front", [b"#\n\0\n".as_slice(), NEIGHBOUR.as_bytes()].concat()));
    files.push(alone("UTF-16 cut in half", utf16(u16::to_le_bytes)[..101].to_vec()));
    files.push(alone(
        "UTF-32",
        good.chars().flat_map(|it| (it as u32).to_le_bytes()).collect::<Vec<u8>>(),
    ));
    files.push(alone("nothing", Vec::new()));
    files.push(alone("a lone mark", b"\xff\xfe".to_vec()));
    for byte in [0, 0x1b, 0x7f, 0x80, 0xff] {
        files.push(alone(format!("1 MiB of byte {byte:#x}"), vec![byte; 1 << 20]));
    }
}

/// A good file with a few bytes changed, whatever they become.
fn mutations(files: &mut Vec<Hostile>) {
    let good = within_a_name("{a: [1, *x, &y z], \"q\": 'r'}") + NEIGHBOUR;
    let mut random = StdRng::seed_from_u64(2_026);
    for round in 0..100 {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..random.random_range(1..20) {
            let at = random.random_range(0..bytes.len());
            bytes[at] =
                *b"\n\t -:[]{}\"'&*!|>%#,?\0\xff".get(random.random_range(0..24)).unwrap_or(&b'x');
        }
        files.push(alone(format!("mutation {round}"), bytes));
    }
}

fn read_bytes(bytes: &[u8]) -> FileContents {
    read(bytes, "catalog-info.yaml", &|_| Err("there is no such file".into()))
}

/// How long this thread has had a processor, whatever others did meanwhile; it may be some milliseconds late.
pub fn worked() -> Duration {
    let status = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(status.split_whitespace().next().unwrap().parse().unwrap())
}

/// A number of `/proc/self/status`, in KiB.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|it| it.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "it tells this test's own process, no setting of idp"
)]
fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// Runs the test `name` in a process where no other test takes memory.
fn run_alone(name: &str) {
    let this = std::env::current_exe().unwrap();
    let ran =
        Command::new(this).args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    println!("{said}");
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
}

/// The most memory this process has had since it began to measure, in KiB.
struct Memory {
    at_first: u64,
}

impl Memory {
    fn measured_from_now() -> Memory {
        // Documented in proc(5): the peak becomes what is used now.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        Memory { at_first: memory("VmRSS:") }
    }

    fn grown(&self) -> u64 {
        memory("VmHWM:").saturating_sub(self.at_first)
    }
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "time and memory are measured through /proc")]
fn hostile_files_cost_little_and_their_neighbours_nothing() {
    if !is_alone() {
        return run_alone("hostile_files::hostile_files_cost_little_and_their_neighbours_nothing");
    }
    let files = hostile_files();
    assert!(files.len() >= 300, "{}", files.len());
    let step = files.len() / at_full(files.len());
    let memory = Memory::measured_from_now();
    let mut slowest = (Duration::ZERO, "");
    for file in files.iter().step_by(step) {
        let began = worked();
        let contents = read_bytes(&file.bytes);
        let took = worked() - began;
        let name = &file.name;
        assert!(took <= TIME_MAX, "{name}: {took:?}");
        assert!(memory.grown() <= KIB_MAX, "{name}: {} KiB", memory.grown());
        slowest = slowest.max((took, name));
        let has_neighbour =
            contents.descriptors.iter().any(|it| it.reference.name() == "neighbour");
        assert!(has_neighbour || !file.keeps_neighbour, "{name}: {:#?}", contents.problems);
        let taken = contents.descriptors.iter().map(|it| it.document);
        let told = contents.problems.iter().map(|it| it.document);
        let seen: BTreeSet<u32> = taken.chain(told).collect();
        let dropped = (0..contents.documents).find(|it| !seen.contains(it));
        assert_eq!(dropped, None, "{name}: a document was dropped in silence");
    }
    println!(
        "REL H1 {} of {} hostile files: none took more than {:?} ({}), all of them {} KiB",
        files.len().div_ceil(step),
        files.len(),
        slowest.0,
        slowest.1,
        memory.grown()
    );
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "time and memory are measured through /proc")]
fn the_measure_of_memory_would_see_a_bomb() {
    if !is_alone() {
        return run_alone("hostile_files::the_measure_of_memory_would_see_a_bomb");
    }
    let memory = Memory::measured_from_now();
    let bomb = vec![1_u8; (KIB_MAX as usize + 1024) << 10];
    assert!(bomb.iter().all(|it| *it == 1));
    drop(bomb);
    assert!(memory.grown() > KIB_MAX, "{}", memory.grown());
}
