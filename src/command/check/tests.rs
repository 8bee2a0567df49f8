use super::*;
use crate::config::{Loaded, Settings};
use crate::pipeline::input_stats::Counted;

fn loaded(settings: Settings) -> Result<Asked, config::ConfigErrors> {
    Ok(Asked { loaded: Loaded { settings, entries: Vec::new(), file: None }, is_for_run: true })
}

fn plain() -> Settings {
    let mut settings = Settings::default();
    settings.privacy.user_ids = Some(config::UserIds::Plain);
    settings
}

fn found(level: Level) -> Finding {
    Finding { level, place: String::new(), key: "k".into(), message: "m".into(), remedy: None }
}

fn seams(slos: fn(&[PathBuf]) -> Result<SloStage, Vec<Finding>>) -> Seams {
    let none = |_: &_, _: &_, _: &_, _| {
        Ok(RecordsReport { records: Vec::new(), notices: Vec::new(), survey: None, counted: Counted::Lines })
    };
    Seams { slos, records: none }
}

#[test]
fn advice_is_no_finding_a_warning_is_one_and_an_error_fails() {
    let fine = stages::check(loaded(plain()), &seams(|_| Ok(SloStage::default())));
    assert_eq!(exit(&fine), Exit::Done);
    assert!(fine.configuration.iter().any(|f| f.level == Level::Advice), "plain user ids deserve advice");
    let warned = seams(|_| Ok(SloStage { slos: Vec::new(), notices: vec![found(Level::Warning)] }));
    assert_eq!(exit(&stages::check(loaded(plain()), &warned)), Exit::Findings);
    let failed = stages::check(loaded(plain()), &seams(|_| Err(vec![found(Level::Error)])));
    assert_eq!(exit(&failed), Exit::Configuration);
    assert!(failed.ready.is_none());
}

#[test]
fn a_missing_key_is_told_before_run_asks_for_it() {
    let mut settings = plain();
    settings.privacy.user_ids = None;
    settings.privacy.key_file = "no-such.key".into();
    let report = stages::check(loaded(settings), &seams(|_| Ok(SloStage::default())));
    assert_eq!(report.configuration[0].key, "privacy.key_file");
    assert_eq!(exit(&report), Exit::Findings);
}

#[test]
fn a_key_is_read_as_run_reads_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let report = |key: &dyn Fn(&std::path::Path)| {
        let mut settings = plain();
        settings.privacy.user_ids = None;
        settings.privacy.key_file = dir.path().join("tailburn.key");
        key(&settings.privacy.key_file);
        stages::check(loaded(settings), &seams(|_| Ok(SloStage::default())))
    };
    let too_short = report(&|path| std::fs::write(path, "secret\n").expect("a file"));
    assert_eq!((too_short.configuration[0].key.as_str(), exit(&too_short)), ("privacy.key_file", Exit::Configuration));
    assert!(too_short.configuration[0].message.contains("32 characters"), "{:?}", too_short.configuration);
    let no_text = report(&|path| std::fs::write(path, [0xff; 64]).expect("a file"));
    assert_eq!(exit(&no_text), Exit::Configuration);
    let fine = report(&|path| std::fs::write(path, "0123456789abcdef".repeat(4)).expect("a file"));
    assert_eq!(exit(&fine), Exit::Done, "{:?}", fine.configuration);
    let directory = report(&|path| {
        std::fs::remove_file(path).expect("no file");
        std::fs::create_dir(path).expect("a directory");
    });
    assert_eq!(exit(&directory), Exit::Configuration);
}

#[test]
fn slos_alone_need_no_key() {
    let mut settings = plain();
    settings.privacy.user_ids = None;
    settings.privacy.key_file = "no-such.key".into();
    let asked = Asked { loaded: Loaded { settings, entries: Vec::new(), file: None }, is_for_run: false };
    assert_eq!(exit(&stages::check(Ok(asked), &seams(|_| Ok(SloStage::default())))), Exit::Done);
}

#[test]
fn slos_are_not_looked_at_before_the_configuration_is_right() {
    let errors = config::ConfigErrors { file: None, problems: vec![config::Problem::new("workers", "no", "")] };
    let report = stages::check(Err(errors), &seams(|_| panic!("not to be looked at")));
    assert_eq!((report.slos.is_none(), exit(&report)), (true, Exit::Configuration));
}

#[test]
fn a_dead_letter_is_a_finding() {
    let mut report = stages::check(loaded(plain()), &seams(|_| Ok(SloStage::default())));
    let became = Became::DeadLetter { reason: "no_tenant".into(), detail: String::new() };
    let record = RecordReport { partition: None, number: 0, decoder: "json".into(), became };
    report.records =
        Some(RecordsReport { records: vec![record], notices: Vec::new(), survey: None, counted: Counted::Lines });
    assert_eq!(exit(&report), Exit::Findings);
}
