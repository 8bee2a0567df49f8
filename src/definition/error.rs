//! Mistakes in the definitions, and where they are. All are collected, so that one run shows them all.

use std::fmt::{Display, Formatter, Result};

/// One mistake: where it is, which key, what is wrong, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DefinitionError {
    pub file: String,
    /// From 1; `None` for the file as a whole.
    pub line: Option<u64>,
    pub column: Option<u64>,
    /// As in `spec.objectives[0].target`; empty for the document itself.
    pub key: String,
    pub message: String,
    pub remedy: Option<String>,
}

impl Display for DefinitionError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(&self.file)?;
        for position in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{position}")?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

/// Every mistake, ordered by file and line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DefinitionErrors(pub Vec<DefinitionError>);

impl Display for DefinitionErrors {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (i, e) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            e.fmt(f)?;
        }
        Ok(())
    }
}

/// The importance of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeLevel {
    /// Something was left out or has no effect.
    Warning,
    /// It works, but could be written better.
    Advice,
}

/// A remark about a valid definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub level: NoticeLevel,
    pub file: String,
    pub line: u64,
    pub key: String,
    pub message: String,
}

impl Display for Notice {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let level = match self.level {
            NoticeLevel::Warning => "warning",
            NoticeLevel::Advice => "advice",
        };
        let key = if self.key.is_empty() { String::new() } else { format!("{}: ", self.key) };
        write!(f, "{}:{}: {level}: {key}{}", self.file, self.line, self.message)
    }
}

/// Collects mistakes and notices while the documents are read.
#[derive(Default)]
pub(super) struct Report {
    pub errors: Vec<DefinitionError>,
    pub notices: Vec<Notice>,
}

impl Report {
    /// Adds findings about a part that has no effect, so none of them is an error.
    pub fn take_as_warnings(&mut self, found: Report) {
        self.notices.extend(found.notices);
        self.notices.extend(found.errors.into_iter().map(|e| {
            let remedy = e.remedy.map(|remedy| format!(" ({remedy})")).unwrap_or_default();
            let message = format!("{}{remedy}", e.message);
            Notice { level: NoticeLevel::Warning, file: e.file, line: e.line.unwrap_or(1), key: e.key, message }
        }));
    }
}
