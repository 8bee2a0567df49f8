//! The rights that `run` or `notify` needs, as `kafka-acls` commands with the configured names.

use super::table::{kafka_settings, notify_settings};
use crate::command::{Exit, Global, Outcome, Printer};
use crate::log::kafka::rights::{self, Resource, Right};
use std::io::Write as _;

pub fn run(global: &Global, principal: &str, is_for_notify: bool) -> Outcome {
    let settings = global.load()?.settings;
    let servers = settings.kafka.properties.get("bootstrap.servers").map_or("localhost:9092", String::as_str);
    let mut out = Printer::stdout();
    let kafka = kafka_settings(&settings);
    let rights = if is_for_notify {
        rights::needed_to_notify(&notify_settings(&settings))
    } else {
        rights::needed(&kafka).into_iter().chain(rights::needed_to_show(&kafka)).collect()
    };
    for right in rights {
        out.line(&command(servers, principal, &right))?;
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

fn command(servers: &str, principal: &str, right: &Right) -> String {
    let resource = match &right.resource {
        Resource::Topic(name) => format!("--topic {}", quoted(name)),
        Resource::Group(name) => format!("--group {}", quoted(name)),
        Resource::TransactionalIds(prefix) => {
            format!("--transactional-id {} --resource-pattern-type prefixed", quoted(prefix))
        }
    };
    let operations = right.operations.iter().map(|operation| format!(" --operation {}", operation.name()));
    let (servers, principal) = (quoted(servers), quoted(principal));
    let operations: String = operations.collect();
    format!("kafka-acls.sh --bootstrap-server {servers} --add --allow-principal {principal} {resource}{operations}")
}

/// Quotes a text for a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:,/".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_name_as_it_is() {
        assert_eq!(quoted("User:tailburn"), "User:tailburn");
        assert_eq!(quoted("User:CN=it's"), r"'User:CN=it'\''s'");
    }
}
