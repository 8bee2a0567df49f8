//! Findings that only show in all the records together.

use super::report::{Became, Finding, Level, RecordReport};
use crate::command::notices;
use crate::command::survey::Survey;
use crate::config::{InputFormat, Settings};
use crate::model::outcome::Outcome;
use crate::model::slo::Slo;
use crate::pipeline::clients::Clients;
use serde_json::Value;

pub(super) fn advice(settings: &Settings, records: &[RecordReport]) -> Vec<Finding> {
    let is_access_log = settings.input.format == InputFormat::Clf;
    let clients = clients(records);
    if !is_access_log || clients.events == 0 {
        return Vec::new();
    }
    // `check` shows user ids unchanged anyway.
    let mut messages = notices::of_clients(&clients, true);
    messages.push(
        "An access log does not say whether the client got the whole answer, or gave up while it waited: most servers log \
         200 for both, so such failures count as good (README: Access logs)."
            .to_owned(),
    );
    messages.into_iter().map(finding).collect()
}

/// Streams whose first token cannot be a word.
pub(super) fn first_chunk(survey: &Survey) -> Option<Finding> {
    let message = notices::first_chunk(survey.first_chunks)?;
    Some(Finding { key: "first_chunk".to_owned(), ..finding(message) })
}

/// SLIs that do not seem to measure what they should, from all records of the input.
pub(super) fn defects(slos: &[Slo], survey: &Survey) -> Vec<Finding> {
    let of_slo = |(index, slo): (usize, &Slo)| {
        let seen = survey.slos.get(index).cloned().unwrap_or_default();
        let found = survey.defects(index, slo);
        let words = |defect| notices::of_defect(slo, defect, seen.good, seen.bad, seen.unclassified);
        let named = |(defect, message)| Finding { key: format!("{}: {defect}", slo.name), ..finding(message) };
        found.into_iter().map(|defect| (defect.as_str(), words(defect))).map(named).collect::<Vec<_>>()
    };
    slos.iter().enumerate().flat_map(of_slo).collect()
}

fn finding(message: String) -> Finding {
    Finding { level: Level::Advice, place: String::new(), key: String::new(), message, remedy: None }
}

fn clients(records: &[RecordReport]) -> Clients {
    let mut clients = Clients::default();
    for record in records {
        if let Became::Outcome { fields, .. } = &record.became {
            let text = |name: &str| fields.get(name).and_then(Value::as_str).map(Into::into);
            clients.note(&Outcome { user: text("user"), operation: text("operation"), ..Outcome::default() });
        }
    }
    clients
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(user: Option<&str>) -> RecordReport {
        let mut fields = serde_json::Map::from_iter([("operation".to_owned(), "GET".into())]);
        fields.extend(user.map(|user| ("user".to_owned(), user.into())));
        let became = Became::Outcome { fields, unreadable: Vec::new(), verdicts: Vec::new() };
        RecordReport { partition: None, number: 0, decoder: "clf".into(), became }
    }

    fn told(format: InputFormat, users: &[Option<&str>]) -> Vec<String> {
        let mut settings = Settings::default();
        settings.input.format = format;
        let records: Vec<RecordReport> = users.iter().map(|user| record(*user)).collect();
        advice(&settings, &records).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn one_client_of_an_access_log_looks_like_a_proxy() {
        let users = [Some("10.0.0.1"), Some("192.0.2.1"), Some("10.0.0.1")];
        let of_log = told(InputFormat::Clf, &users);
        assert!(of_log[0].starts_with("The client 10.0.0.1 sent at least 2 of 3 events"), "{of_log:?}");
        assert_eq!(of_log.len(), 2, "and what such a log cannot say: {of_log:?}");
        assert!(told(InputFormat::Json, &users).is_empty());
        assert_eq!(told(InputFormat::Clf, &[None, None, Some("192.0.2.1")]).len(), 2, "nobody is told of too");
        assert!(told(InputFormat::Clf, &[]).is_empty());
    }
}
