//! Access logs whose clients are not people: one proxy, no client at all, connections without a request.

use super::Facts;
use crate::config::UserIds;
use crate::pipeline::clients::Clients;

/// With fewer events, a majority means nothing.
const EVENTS_MIN: u64 = 3;
const REMEDY: &str = "Have the server log the client that the proxy names (nginx: `set_real_ip_from` and \
                      `real_ip_header X-Forwarded-For`; Apache: `RemoteIPHeader X-Forwarded-For` of mod_remoteip and \
                      `%a`; gunicorn: `%({x-forwarded-for}i)s`)";

pub(super) fn notices(facts: &Facts<'_>) -> Vec<String> {
    let is_plain = facts.settings.privacy.user_ids != Some(UserIds::Hmac);
    facts.clients.map_or_else(Vec::new, |clients| told(clients, is_plain))
}

/// Notices about the clients of an access log; `is_plain`: a client's address may be shown.
pub(in crate::command) fn told(clients: &Clients, is_plain: bool) -> Vec<String> {
    let events = clients.events;
    if events < EVENTS_MIN {
        return Vec::new();
    }
    let share = |part: u64| format!("{part} of {events} events ({:.1} %)", part as f64 * 100.0 / events as f64);
    let proxy = clients.majority().map(|(client, sent)| {
        let who = if is_plain { format!("The client {client}") } else { "One client".to_owned() };
        format!(
            "{who} sent at least {}: it looks like a proxy, or a load balancer, in front of the server, and everybody behind \
             it counts as one user. {REMEDY}.",
            share(sent)
        )
    });
    let nobody = (clients.nobody * 2 > events).then(|| {
        format!(
            "{} name no client, as behind a proxy on a unix socket: they count in the SLOs, but for no user. {REMEDY}.",
            share(clients.nobody)
        )
    });
    let without_request = (clients.without_request * 100 > events).then(|| {
        format!(
            "{} hold no request (connections that health checks or scans open and close) and count by the status that \
             the server gave them. To leave them out, write `has(operation)` in the SLOs' `total` filters.",
            share(clients.without_request)
        )
    });
    [proxy, nobody, without_request].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outcome::Outcome;

    fn of(users: &[&'static str], operation: Option<&'static str>) -> Clients {
        let mut clients = Clients::default();
        for user in users {
            let user = Some(*user).filter(|user| !user.is_empty()).map(Into::into);
            clients.note(&Outcome { user, operation: operation.map(Into::into), ..Outcome::default() });
        }
        clients
    }

    #[test]
    fn one_client_with_most_of_the_events_looks_like_a_proxy() {
        let clients = of(&["10.0.0.1", "10.0.0.1", "192.0.2.1", "10.0.0.1"], Some("GET"));
        let told_of = told(&clients, true);
        assert_eq!(told_of.len(), 1, "{told_of:?}");
        assert!(
            told_of[0].starts_with("The client 10.0.0.1 sent at least 3 of 4 events (75.0 %): it looks like a proxy")
        );
        assert!(told(&clients, false)[0].starts_with("One client sent"), "nobody asked for its name");
    }

    #[test]
    fn events_that_name_nobody_and_those_without_a_request_are_told_of() {
        let told_of = told(&of(&["", "", "192.0.2.1"], None), true);
        assert_eq!(told_of.len(), 2, "{told_of:?}");
        assert!(told_of[0].starts_with("2 of 3 events (66.7 %) name no client"));
        assert!(told_of[1].starts_with("3 of 3 events (100.0 %) hold no request"));
    }

    #[test]
    fn where_clients_are_many_there_is_nothing_to_say() {
        assert!(told(&of(&["a", "b", "c", "a"], Some("GET")), true).is_empty());
        assert!(told(&of(&["a", "a"], Some("GET")), true).is_empty(), "two events are no traffic");
    }
}
