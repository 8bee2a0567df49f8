//! A broker with an authorizer: with exactly the rights that `topics --acls` prints, `run` works; if any of them is
//! missing, it ends with 78 and names it.
#![allow(unsafe_code, reason = "the client library has no calls for access control lists")]

use crate::broker::Broker;
use crate::pipeline::{PARTITIONS, await_committed, preload};
use crate::recovery::Place;
use crate::world::World;
use rdkafka::admin::AdminClient;
use rdkafka::bindings as sys;
use rdkafka::client::DefaultClientContext;
use std::ffi::CString;
use std::process::Command;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const CONFIGURATION: Option<i32> = Some(78);
/// The longest time until a missing right is reported.
pub const SOON: Duration = Duration::from_secs(30);

/// A right as one printed command grants it, one operation at a time.
#[derive(Clone, Debug)]
pub struct Right {
    /// The option that names the resource.
    kind: String,
    name: String,
    is_prefix: bool,
    operation: String,
}

/// The arguments for `kafka-acls.sh`.
fn rights(printed: &str) -> Vec<Right> {
    let mut all = Vec::new();
    for line in printed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let behind = |option: &str| words.iter().position(|word| *word == option).map(|at| words[at + 1]);
        assert_eq!(behind("--allow-principal"), Some("User:tailburn"), "{line}");
        let kind = ["--topic", "--group", "--transactional-id"].into_iter().find(|kind| behind(kind).is_some());
        let kind = kind.expect("a resource");
        let operations = words.windows(2).filter(|pair| pair[0] == "--operation").map(|pair| pair[1]);
        all.extend(operations.map(|operation| Right {
            kind: kind.to_owned(),
            name: behind(kind).unwrap_or_default().trim_matches('\'').to_owned(),
            is_prefix: behind("--resource-pattern-type") == Some("prefixed"),
            operation: operation.to_owned(),
        }));
    }
    all
}

pub fn set(world: &World<Arc<Broker>>, rights: &[Right], is_granted: bool) {
    use sys::rd_kafka_AclOperation_t as Operation;
    use sys::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW as ALLOW;
    use sys::rd_kafka_ResourcePatternType_t as Pattern;
    use sys::rd_kafka_ResourceType_t as Resource;
    let admin: AdminClient<DefaultClientContext> = world.client().create().expect("an administrator");
    let client = admin.inner().native_ptr();
    let (principal, host) = (CString::new("User:tailburn").expect("a text"), CString::new("*").expect("a text"));
    for right in rights {
        let kind = match right.kind.as_str() {
            "--topic" => Resource::RD_KAFKA_RESOURCE_TOPIC,
            "--group" => Resource::RD_KAFKA_RESOURCE_GROUP,
            _ => Resource::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID,
        };
        let pattern = match right.is_prefix {
            true => Pattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED,
            false => Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
        };
        let operation = match right.operation.as_str() {
            "Read" => Operation::RD_KAFKA_ACL_OPERATION_READ,
            "Write" => Operation::RD_KAFKA_ACL_OPERATION_WRITE,
            "Create" => Operation::RD_KAFKA_ACL_OPERATION_CREATE,
            "Delete" => Operation::RD_KAFKA_ACL_OPERATION_DELETE,
            "Alter" => Operation::RD_KAFKA_ACL_OPERATION_ALTER,
            "Describe" => Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE,
            "DescribeConfigs" => Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
            other => panic!("operation {other}"),
        };
        let name = CString::new(right.name.as_str()).expect("a name");
        let (name, who, host) = (name.as_ptr(), principal.as_ptr(), host.as_ptr());
        // SAFETY: the client and all texts are alive, and everything allocated here is freed below.
        unsafe {
            let queue = sys::rd_kafka_queue_new(client);
            if is_granted {
                let mut binding =
                    sys::rd_kafka_AclBinding_new(kind, name, pattern, who, host, operation, ALLOW, ptr::null_mut(), 0);
                sys::rd_kafka_CreateAcls(client, &mut binding, 1, ptr::null(), queue);
                sys::rd_kafka_AclBinding_destroy(binding);
            } else {
                let mut filter = sys::rd_kafka_AclBindingFilter_new(
                    kind,
                    name,
                    pattern,
                    who,
                    host,
                    operation,
                    ALLOW,
                    ptr::null_mut(),
                    0,
                );
                sys::rd_kafka_DeleteAcls(client, &mut filter, 1, ptr::null(), queue);
                sys::rd_kafka_AclBinding_destroy(filter);
            }
            let event = sys::rd_kafka_queue_poll(queue, 30_000);
            assert!(!event.is_null(), "no answer for {right:?}");
            let error = sys::rd_kafka_event_error(event);
            assert_eq!(error, sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR, "{right:?}");
            sys::rd_kafka_event_destroy(event);
            sys::rd_kafka_queue_destroy(queue);
        }
    }
    // Brokers learn of it from their controller.
    std::thread::sleep(Duration::from_millis(400));
}

/// The login of a client, as `kafka.properties`.
pub fn by_password(broker: &Broker) -> String {
    let address = broker.listener("sasl");
    format!(
        "bootstrap.servers: \"{address}\", security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, \
         sasl.username: tailburn, sasl.password: tailburn"
    )
}

/// A place whose program uses this login.
pub fn place(world: &World<Arc<Broker>>, id: &str, login: &str, more: &str) -> Place {
    let place = Place::with(world, id, more);
    let path = place.dir.path().join("tailburn.yaml");
    let config = std::fs::read_to_string(&path).expect("a configuration");
    let from = config.find("bootstrap.servers").expect("the servers");
    let to = config[from..].find(", session").expect("more properties") + from;
    std::fs::write(&path, format!("{}{login}{}", &config[..from], &config[to..])).expect("a configuration");
    place
}

/// The rights that the program prints as needed.
pub fn printed(place: &Place) -> Vec<Right> {
    let printed = tailburn(place, &["topics", "--acls"]);
    let all = rights(&printed.1);
    assert!(all.len() > 20, "{printed:?}");
    all
}

/// Runs the program to its end; its exit code and what it printed.
pub fn tailburn(place: &Place, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tailburn"));
    let output = command.args(arguments).current_dir(place.dir.path()).output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
}

pub fn last_line(log: &str) -> String {
    log.lines().next_back().unwrap_or_default().to_owned()
}

impl Right {
    /// Whether a line names the resource and the operation that is not allowed.
    fn is_named_in(&self, line: &str) -> bool {
        line.contains(self.name.trim_end_matches('-')) && line.contains(&self.operation)
    }
}

/// A broker, the topics of an application that has worked with exactly the printed rights, and these rights.
fn worked(id: &str, world: &'static str) -> Option<(World<Arc<Broker>>, Place, Vec<Right>)> {
    let world = World::new(Arc::new(Broker::start_secured()?), world, PARTITIONS);
    let place = place(&world, id, &by_password(&world.broker), "");
    let all = printed(&place);
    set(&world, &all, true);
    let (running, _) = place.start();
    preload(&world.client(), &world.input, 1_000, 50);
    await_committed(&world, id, 1_000, || {});
    assert_eq!(running.stop(), Some(0), "{}", place.log());
    Some((world, place, all))
}

#[test]
fn with_exactly_the_printed_rights_it_works_and_without_any_single_one_it_says_which() {
    let Some((world, place, all)) = worked("rights", "rights-world") else { return };
    // Without HTTP the program does not wait for probes before it ends.
    let config = place.dir.path().join("tailburn.yaml");
    let text = std::fs::read_to_string(&config).expect("a configuration");
    let without = text.replace("http: {listen: \"127.0.0.1:0\"}\n", "http: {listen: null}\n");
    assert_ne!(without, text);
    std::fs::write(&config, without).expect("it");
    // What the API alone reads is not asked for at the start.
    let is_shown = |right: &&Right| {
        right.kind == "--topic"
            && right.operation == "Read"
            && right.name.starts_with("rights.")
            && !right.name.contains(".internal.")
            && !right.name.ends_with(".definitions")
    };
    assert_eq!(all.iter().filter(is_shown).count(), 7, "the output topics: {all:?}");
    for right in all.iter().filter(|right| !is_shown(right)) {
        set(&world, std::slice::from_ref(right), false);
        let began = Instant::now();
        let code = place.spawn(&[]).end(SOON);
        let last = last_line(&place.log());
        assert_eq!(code, CONFIGURATION, "without {right:?}, after {:?}: {}", began.elapsed(), place.log());
        assert!(right.is_named_in(&last), "without {right:?}: {last}");
        set(&world, std::slice::from_ref(right), true);
    }
    std::fs::write(&config, text).expect("it");
    let (running, _) = place.start();
    preload(&world.client(), &world.input, 1_000, 50);
    await_committed(&world, "rights", 2_000, || {});
    assert_eq!(running.stop(), Some(0), "with all of them it goes on: {}", place.log());
}

#[test]
fn a_right_that_is_withdrawn_from_a_running_instance_ends_it_and_readyz_says_so() {
    let Some((world, place, all)) = worked("withdrawn", "withdrawn-world") else { return };
    for (kind, name, operation) in [
        ("--group", "withdrawn", "Read"),
        ("--topic", "withdrawn.slo-status", "Write"),
        ("--topic", "withdrawn.internal.withdrawn.changelog", "Read"),
        ("--transactional-id", "withdrawn-", "Write"),
    ] {
        let of_it = |r: &&Right| r.kind == kind && r.name == name && r.operation == operation;
        let taken: Vec<Right> = all.iter().filter(of_it).cloned().collect();
        assert_eq!(taken.len(), 1, "{kind} {name} {operation}");
        let (running, _) = place.start();
        set(&world, &taken, false);
        preload(&world.client(), &world.input, 1_000, 50);
        let (code, ready) = running.end_watched(&place, SOON);
        let last = last_line(&place.log());
        assert_eq!(code, CONFIGURATION, "without {operation} on {name}: {}", place.log());
        assert!(taken[0].is_named_in(&last), "{operation} on {name}: {last}");
        assert!(ready.starts_with("HTTP/1.1 503") && taken[0].is_named_in(&ready), "{operation} on {name}: {ready}");
        set(&world, &taken, true);
    }
}

/// The first start creates the topics. A missing right to create them is reported like a missing right to use them.
#[test]
fn a_first_start_without_the_right_to_create_says_so() {
    let Some(broker) = Broker::start_secured() else { return };
    let world = World::new(Arc::new(broker), "first-world", PARTITIONS);
    let place = place(&world, "first", &by_password(&world.broker), "");
    let all = printed(&place);
    let but_create: Vec<Right> = all.iter().filter(|right| right.operation != "Create").cloned().collect();
    set(&world, &but_create, true);
    let (code, said) = tailburn(&place, &["check", "--connect"]);
    assert_eq!(code, CONFIGURATION, "{said}");
    assert!(said.contains("first.slo-status: this principal lacks the right Create"), "{said}");
    assert_eq!(place.spawn(&[]).end(SOON), CONFIGURATION, "{}", place.log());
    let last = last_line(&place.log());
    assert!(last.contains("first.") && last.contains("Create"), "{last}");
}

#[test]
fn check_connect_tells_every_right_that_is_missing_and_disturbs_nobody() {
    let Some((world, place, all)) = worked("checked", "checked-world") else { return };
    let (running, _) = place.start();
    let (code, said) = tailburn(&place, &["check", "--connect"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("every right that `run` needs") && said.contains("checked-world-outcomes: "), "{said}");
    preload(&world.client(), &world.input, 1_000, 50);
    await_committed(&world, "checked", 2_000, || {});
    assert!(!place.log().contains("going on from the checkpoint"), "it was disturbed: {}", place.log());
    assert_eq!(running.stop(), Some(0), "{}", place.log());
    let missing: Vec<Right> = all
        .into_iter()
        .filter(|r| {
            r.kind != "--topic" || r.name == world.input || r.name.ends_with("changelog") && r.operation == "Read"
        })
        .collect();
    set(&world, &missing, false);
    let (code, said) = tailburn(&place, &["check", "--connect"]);
    assert_eq!((code, missing.len()), (CONFIGURATION, 4), "{said}");
    for right in missing {
        assert!(said.lines().any(|line| right.is_named_in(line)), "{right:?}: {said}");
    }
}
