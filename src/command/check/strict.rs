//! `check --strict`: what people need to know of an SLO besides what is computed.

use super::report::{Finding, Level};
use crate::model::slo::{Documentation, Slo};
use jiff::civil::Date;

/// The annotation, what it says, and an example.
const WANTED: [(&str, &str, &str); 5] = [
    ("owner", "nobody knows whom to ask", "payments@example.com"),
    ("why", "nobody can say whether the objective is still right", "\"beyond a second people leave\""),
    ("how-measured", "nobody knows what the figures leave out", "\"at the load balancer, without health checks\""),
    (
        "accepted-variation",
        "nobody knows which deviation is no cause for worry",
        "\"0.2 points in a month of releases\"",
    ),
    ("review-by", "nobody will look at it again", "2027-06-30"),
];

/// Of each document, in order; `today` is a day of UTC.
pub fn findings(slos: &[Slo], today: Date) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for slo in slos {
        // The objectives of a document share their annotations.
        let document = document_of(slo);
        if !findings.iter().any(|finding| finding.place == document) {
            findings.extend(of_document(document, &slo.documentation, today));
        }
    }
    findings
}

fn document_of(slo: &Slo) -> &str {
    let objective = slo.objective_name.as_deref();
    let name = objective.and_then(|objective| slo.name.strip_suffix(objective)?.strip_suffix(':'));
    name.unwrap_or(&slo.name)
}

fn of_document(document: &str, documentation: &Documentation, today: Date) -> Vec<Finding> {
    let finding = |key: &str, message: String, remedy: String| Finding {
        level: Level::Warning,
        place: document.to_owned(),
        key: format!("tailburn.dev/{key}"),
        message,
        remedy: Some(remedy),
    };
    let written = |key: &str| match key {
        "owner" => documentation.owner.as_deref(),
        "why" => documentation.why.as_deref(),
        "how-measured" => documentation.how_measured.as_deref(),
        "accepted-variation" => documentation.accepted_variation.as_deref(),
        _ => documentation.review_by.as_deref(),
    };
    let is_missing = |key: &str| written(key).is_none_or(|text| text.trim().is_empty());
    let missing = WANTED.iter().filter(|(key, ..)| is_missing(key)).map(|(key, why, example)| {
        finding(key, format!("is missing: {why}"), format!("Add the annotation, as in tailburn.dev/{key}: {example}."))
    });
    let mut findings: Vec<Finding> = missing.collect();
    let review = documentation.review_by.as_deref().map(str::trim).filter(|text| !text.is_empty());
    match review.map(|text| (text, text.parse::<Date>())) {
        Some((text, Ok(date))) if date < today => findings.push(finding(
            "review-by",
            format!("{text} is over: the review is due"),
            "Look at the objective with those who own it, then write the next date.".to_owned(),
        )),
        Some((text, Err(_))) => {
            let remedy = format!("Write year, month and day, as in {}.", WANTED[4].2);
            findings.push(finding("review-by", format!("`{text}` is not a date"), remedy));
        }
        _ => {}
    }
    findings
}
