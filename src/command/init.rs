//! `init`: a commented configuration, an SLO and a key, ready to be edited.
//!
//! It overwrites existing files only with `--force`, and a key never: with another key every user would look new.

use super::{Exit, Failure, Outcome, Printer};
use crate::config::Preset;
use crate::model::hex;
use anyhow::Context as _;
use clap::Args;
use sha2::{Digest, Sha256};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const CONFIGURATION: &str = include_str!("init/tailburn.yaml");
const EXAMPLE_SLO: &str = include_str!("init/example.yaml");
/// The line of the configuration that names a preset.
const NO_PRESET: &str = "#  preset: null\n";
/// What `--preset litellm` writes instead of the example.
const LLM_SLOS: [(&str, &str); 9] = [
    ("availability.yaml", include_str!("../../ops/examples/slos/llm/availability.yaml")),
    ("abandonment.yaml", include_str!("../../ops/examples/slos/llm/abandonment.yaml")),
    ("first-token.yaml", include_str!("../../ops/examples/slos/llm/first-token.yaml")),
    ("inter-token.yaml", include_str!("../../ops/examples/slos/llm/inter-token.yaml")),
    ("goodput.yaml", include_str!("../../ops/examples/slos/llm/goodput.yaml")),
    ("refusals.yaml", include_str!("../../ops/examples/slos/llm/refusals.yaml")),
    ("tokens.yaml", include_str!("../../ops/examples/slos/llm/tokens.yaml")),
    ("cost.yaml", include_str!("../../ops/examples/slos/llm/cost.yaml")),
    ("requests.yaml", include_str!("../../ops/examples/slos/llm/requests.yaml")),
];

/// Write a commented configuration, an SLO and a key
///
/// Writes tailburn.yaml, slos/example.yaml and tailburn.key (32 random bytes in hex, readable by its
/// owner only), and says what to do next. With --preset the configuration maps the records of a well-known program, and
/// the SLOs are for these.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn init
  tailburn init /etc/tailburn
  tailburn init --preset litellm     # records of LiteLLM's proxy, and SLOs for them")]
pub struct InitArgs {
    /// The directory to write to; created if it does not exist
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,

    /// Map the records of a well-known program: litellm
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(Preset::ALL.map(|(name, _)| name)))]
    pub preset: Option<String>,

    /// Overwrite the configuration and the SLO; an existing key stays
    #[arg(long)]
    pub force: bool,
}

pub fn run(args: &InitArgs) -> Outcome {
    // Shown without a leading `./`.
    let dir = args.dir.strip_prefix(".").unwrap_or(&args.dir);
    let configuration = dir.join("tailburn.yaml");
    let parent = dir.join("slos");
    let slos = slos(args.preset.as_deref());
    let files: Vec<PathBuf> = slos.iter().map(|(name, _)| parent.join(name)).collect();
    let key = dir.join("tailburn.key");
    if !args.force {
        let all: Vec<&Path> = [&configuration].into_iter().chain(&files).chain([&key]).map(PathBuf::as_path).collect();
        refuse_to_overwrite(&all)?;
    }
    fs::create_dir_all(&parent).with_context(|| parent.display().to_string())?;
    let text = configuration_text(args.preset.as_deref());
    fs::write(&configuration, text).with_context(|| configuration.display().to_string())?;
    for (file, (_, text)) in files.iter().zip(slos) {
        fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    let made = write_key(&key).with_context(|| key.display().to_string())?;

    let mut out = Printer::stdout();
    out.tick(&format!("{}: the configuration", configuration.display()))?;
    match files.as_slice() {
        [slo] => out.tick(&format!("{}: an SLO to start from", slo.display()))?,
        slos => out.tick(&format!("{}: {} SLOs to start from", parent.display(), slos.len()))?,
    }
    if made {
        out.tick(&format!(
            "{}: the key for pseudonyms of user ids; keep it secret, and do not lose it",
            key.display()
        ))?;
    } else {
        out.notice(&format!("{} stays: with another key every user would look like a new one", key.display()))?;
    }
    next_commands(&mut out, dir)?;
    Ok(Exit::Done.into())
}

/// The SLOs to write, by the names of their files.
fn slos(preset: Option<&str>) -> &'static [(&'static str, &'static str)] {
    match preset {
        Some(_) => &LLM_SLOS,
        None => &[("example.yaml", EXAMPLE_SLO)],
    }
}

fn configuration_text(preset: Option<&str>) -> String {
    match preset {
        Some(name) => CONFIGURATION.replace(NO_PRESET, &format!("  preset: {name}\n")),
        None => CONFIGURATION.to_owned(),
    }
}

fn refuse_to_overwrite(files: &[&Path]) -> Result<(), Failure> {
    let there: Vec<String> = files.iter().filter(|f| f.exists()).map(|f| f.display().to_string()).collect();
    if there.is_empty() {
        return Ok(());
    }
    let text = format!("{} there already; nothing was written. --force overwrites (a key never).", are(&there));
    Err(Failure::Other(anyhow::anyhow!(text)))
}

fn are(names: &[String]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(", "))
}

/// Writes a new key that only its owner can read. `false`: there was one already, and it stays.
fn write_key(path: &Path) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(mut file) => {
            file.write_all(random_key().as_bytes())?;
            file.sync_all()?;
            Ok(true)
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e),
    }
}

/// 32 bytes in hex. A random UUID brings 122 bits from the operating system; three, hashed, fill 256.
#[expect(clippy::disallowed_methods, reason = "a key has to be random; no figure depends on it")]
fn random_key() -> String {
    let mut hash = Sha256::new();
    for _ in 0..3 {
        hash.update(uuid::Uuid::new_v4().as_bytes());
    }
    hex::encode(&hash.finalize()) + "\n"
}

fn next_commands(out: &mut Printer, dir: &Path) -> io::Result<()> {
    let here = dir == Path::new("");
    let option = if here { String::new() } else { format!(" --config {}", dir.join("tailburn.yaml").display()) };
    out.line("")?;
    out.line("Next:")?;
    for (command, what) in [
        (format!("check{option}"), "is everything right"),
        (format!("config show{option}"), "which value comes from where"),
        ("demo".to_owned(), "see an incident, without Kafka"),
        (format!("run{option}"), "once `input.topics` and `bootstrap.servers` are yours"),
    ] {
        out.line(&format!("  tailburn {command:<width$}  {what}", width = "config show".len() + option.len()))?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, Sources, UserIds, load};

    fn settings_of(text: &str) -> Settings {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("tailburn.yaml");
        fs::write(&file, text).expect("a file");
        let mut settings = load(&Sources { file: Some(file), ..Sources::default() }).expect("it loads").settings;
        let relative = |p: &mut PathBuf| *p = p.strip_prefix(dir.path()).map(Path::to_path_buf).unwrap_or_default();
        settings.slos.iter_mut().for_each(relative);
        relative(&mut settings.state.dir);
        relative(&mut settings.privacy.key_file);
        settings
    }

    #[test]
    fn what_init_writes_means_the_defaults() {
        assert_eq!(settings_of(CONFIGURATION), Settings::default());
    }

    /// A default shown in a comment must be the default, and every key must be shown.
    #[test]
    fn the_commented_defaults_are_the_defaults() {
        let uncommented: Vec<&str> = CONFIGURATION
            .lines()
            .map(|line| match line.strip_prefix('#') {
                // `#  key:` and `#key:` are defaults, `# Text` is prose.
                Some(rest) if rest.starts_with("  ") || !rest.starts_with(' ') => rest,
                _ => line,
            })
            .collect();
        let text = uncommented.join("\n");
        let settings = settings_of(&text);
        // The defaults of `run`; other commands have others.
        let (user_ids, control) = (settings.privacy.user_ids, settings.definitions.control);
        assert_eq!((user_ids, control), (Some(UserIds::Hmac), Some(true)));
        let mut expected = Settings::default();
        (expected.privacy.user_ids, expected.definitions.control) = (user_ids, control);
        assert_eq!(settings, expected);
        for entry in load(&Sources::default()).expect("the defaults hold").entries {
            let leaf = entry
                .key
                .strip_prefix("kafka.properties.")
                .unwrap_or_else(|| entry.key.rsplit('.').next().unwrap_or(&entry.key));
            assert!(text.contains(&format!("{leaf}:")), "{} is not in the file that init writes", entry.key);
        }
    }

    #[test]
    fn a_preset_is_the_only_other_setting() {
        let settings = settings_of(&configuration_text(Some("litellm")));
        assert_eq!(settings.input.preset.map(Preset::name), Some("litellm"));
        assert_eq!(settings.input.default_tenant.as_deref(), Some("default"));
        let input = Settings { input: Settings::default().input, ..settings };
        assert_eq!(input, Settings::default());
    }

    #[test]
    fn a_key_is_64_hex_digits_and_never_the_same() {
        let key = random_key();
        assert_eq!(key.trim_end().len(), 64);
        assert!(key.trim_end().chars().all(|c| c.is_ascii_hexdigit()));
        assert_ne!(key, random_key());
    }
}
