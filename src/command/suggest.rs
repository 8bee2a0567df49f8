//! `suggest`: what other objectives would have meant for recorded traffic.

mod ladder;
mod replay;
mod table;

use super::backtest::{FileFormat, open_all, progress};
use super::survey::Survey;
use super::{Exit, Failure, Global, Outcome, Printer, Voice, assemble, decoder, files, notices};
use crate::codec::Decoder;
use crate::codec::files::InputFile;
use crate::definition;
use crate::model::slo::{Slo, Unit};
use crate::operator::classify::{Verdict, classify};
use crate::operator::sanity::Defect;
use clap::Args;
use replay::Recording;
use std::io::Write as _;
use std::path::PathBuf;
use table::Candidate;

/// Show what other objectives would have meant for recorded traffic
///
/// For each SLO it takes objectives around what was seen, and says of each how much of the budget was used, how often
/// somebody would have been paged, how many users were below, and after how long errors would be found. The rules are the
/// SLO's own; if it has the default ones, they are chosen anew for each objective. All events count as if they came in
/// time. SLOs that count something else than events, or slices of them, are passed over.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn suggest --slos draft.yaml --input past.jsonl.gz
  tailburn suggest --slos slos --input p0.jsonl --input p1.jsonl --json
  tailburn suggest --slos web.yaml --format clf --input access.log

The draft's own objective has a * behind it. A month is 30 days; a recording of hours says little about one.")]
pub struct SuggestArgs {
    /// A file or a directory of SLOs, drafts will do; may be repeated. Without it, the `slos` of the configuration
    #[arg(long, value_name = "FILE|DIR")]
    pub slos: Vec<PathBuf>,

    /// A file with recorded traffic, or - for standard input; may be repeated
    #[arg(long = "input", value_name = "FILE|-", required = true)]
    pub inputs: Vec<PathBuf>,

    /// The format of the input; without it, `input.format` of the configuration
    #[arg(long, value_enum)]
    pub format: Option<FileFormat>,

    /// Print one JSON object per candidate and line
    #[arg(long)]
    pub json: bool,
}

pub fn run(global: &Global, args: &SuggestArgs) -> Outcome {
    let settings = global.load()?.settings;
    let paths = if args.slos.is_empty() { &settings.slos } else { &args.slos };
    let slos = assemble::definitions_of(&settings, paths)?.slos;
    let format = args.format.map_or(settings.input.format, FileFormat::input_format);
    let files = open_all(&args.inputs, format)?;
    let decoder = decoder::of_files(&settings, format, &files)?;
    let mut read = Read { survey: Survey::new(slos.len()), recording: Recording::new(slos.len()) };
    read.all(files, &decoder, &slos, &global.voice())?;
    let Read { survey, mut recording } = read;
    let mut out = Printer::stdout();
    for (index, slo) in slos.iter().enumerate() {
        suggest(&mut out, args.json, slo, index, &survey, &mut recording)?;
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

/// What is kept of the traffic.
struct Read {
    survey: Survey,
    recording: Recording,
}

impl Read {
    fn all(&mut self, files: Vec<InputFile>, decoder: &Decoder, slos: &[Slo], voice: &Voice) -> Result<(), Failure> {
        /// The progress is shown this often.
        const EVERY: u64 = 16_384;
        let progress = progress(voice);
        progress.set_message("reading");
        for (partition, mut file) in files.into_iter().enumerate() {
            while let Some(record) = file.next_record().map_err(|e| anyhow::anyhow!("{e}"))? {
                let record = files::of_file(&record, partition as u32);
                let Read { survey, recording } = self;
                let became = decoder.read(&record, |outcome| {
                    survey.add(outcome);
                    let user = recording.user(outcome);
                    for (index, slo) in slos.iter().enumerate() {
                        let (verdict, _) = classify(slo, outcome);
                        survey.judge(index, outcome, verdict);
                        if matches!(verdict, Verdict::Good | Verdict::Bad) {
                            recording.add(index, outcome, user, verdict == Verdict::Bad);
                        }
                    }
                });
                survey.dead_letters += u64::from(became.became.is_err());
                let done = survey.outcomes + survey.dead_letters;
                if done.is_multiple_of(EVERY) {
                    progress.set_position(done);
                }
            }
        }
        progress.finish_and_clear();
        Ok(())
    }
}

fn suggest(
    out: &mut Printer,
    as_json: bool,
    slo: &Slo,
    index: usize,
    survey: &Survey,
    recording: &mut Recording,
) -> Result<(), Failure> {
    if slo.unit != Unit::Events {
        let name = &slo.name;
        return Ok(out.notice(&format!("{name}: suggest knows only SLOs that count events, or slices of them"))?);
    }
    let seen = &survey.slos[index];
    let (good, bad) = (seen.good, seen.bad);
    let candidates = if good + bad == 0 {
        Vec::new()
    } else {
        recording.sort(index);
        let objectives = ladder::around(slo.objective, good, bad);
        let of = |objective| Candidate::of(&definition::with_objective(slo, objective), slo, index, survey, recording);
        objectives.into_iter().map(of).collect::<Result<Vec<_>, _>>()?
    };
    if as_json {
        for candidate in &candidates {
            out.line(&serde_json::to_string(candidate).map_err(anyhow::Error::from)?)?;
        }
        return Ok(());
    }
    table::print(out, slo, survey, index, &candidates)?;
    // The table says itself which objectives are out of reach.
    for defect in survey.defects(index, slo).into_iter().filter(|defect| *defect != Defect::ConstantBurn) {
        out.notice(&notices::of_defect(slo, defect, good, bad, seen.unclassified))?;
    }
    Ok(())
}
