//! Redraws the board in place on a terminal.

#![expect(clippy::disallowed_methods, reason = "the rate on the screen is per second of the clock")]

use super::format::{count, date_time};
use super::shared::Shared;
use super::view::{About, View};
use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

const REDRAW: Duration = Duration::from_millis(250);
/// The rate is the mean over this many redraws.
const RATE_OVER: usize = 8;
/// The width of the board: in a narrower terminal lines are cut, wider ones would be hard to read.
const WIDTH: std::ops::RangeInclusive<usize> = 40..=110;

pub fn show(shared: &Shared, about: &About) -> io::Result<()> {
    fast_forward(shared)?;
    let term = Term::stdout();
    term.hide_cursor()?;
    let shown = draw_until_the_end(shared, about, &term);
    term.show_cursor()?;
    shown
}

/// A progress bar over the history.
fn fast_forward(shared: &Shared) -> io::Result<()> {
    let length = u64::try_from(shared.history_ms).unwrap_or(1);
    let bar = ProgressBar::new(length);
    let template = "  {wide_bar:.green}  {percent} %  {msg}";
    bar.set_style(ProgressStyle::with_template(template).map_err(io::Error::other)?.progress_chars("█▉░"));
    while shared.live_since().is_none() && !shared.wait_for_end(REDRAW) {
        let progress = shared.ledger().progress;
        if let Some(at_ms) = progress.at_ms {
            let passed = at_ms - (shared.live_from_ms - shared.history_ms);
            bar.set_position(u64::try_from(passed).unwrap_or(0));
            bar.set_message(format!("{}  {} records", date_time(at_ms), count(progress.records)));
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn draw_until_the_end(shared: &Shared, about: &About, term: &Term) -> io::Result<()> {
    let mut canvas = Canvas { term, drawn: 0, width: 0 };
    let mut rate = Rate::default();
    loop {
        let is_over = shared.wait_for_end(REDRAW);
        let view = {
            let ledger = shared.ledger();
            let per_second = rate.note(ledger.progress.records);
            View::of(&ledger, per_second)
        };
        canvas.draw(&view, about)?;
        if is_over {
            return Ok(());
        }
    }
}

/// Records per second over the last redraws.
#[derive(Default)]
struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    fn note(&mut self, records: u64) -> f64 {
        let now = Instant::now();
        self.0.push_back((now, records));
        if self.0.len() > RATE_OVER {
            self.0.pop_front();
        }
        let Some((then, before)) = self.0.front() else { return 0.0 };
        let seconds = now.duration_since(*then).as_secs_f64();
        if seconds > 0.0 { (records - before) as f64 / seconds } else { 0.0 }
    }
}

struct Canvas<'a> {
    term: &'a Term,
    /// Lines of the board that are on the terminal now.
    drawn: usize,
    width: usize,
}

impl Canvas<'_> {
    /// Overwrites the last drawing, in one write so that nothing flickers.
    fn draw(&mut self, view: &View, about: &About) -> io::Result<()> {
        let (height, columns) = self.term.size();
        let width = usize::from(columns).saturating_sub(1).clamp(*WIDTH.start(), *WIDTH.end());
        if self.drawn > 0 && width != self.width {
            // Lines may have been wrapped, so the position of the board is unknown.
            self.term.clear_screen()?;
            self.drawn = 0;
        }
        let mut lines = view.lines(about, width);
        lines.truncate(usize::from(height).saturating_sub(1).max(1));
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\r", self.drawn));
        }
        for line in &lines {
            text.push_str(line);
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J");
        self.term.write_str(&text)?;
        self.term.flush()?;
        (self.drawn, self.width) = (lines.len(), width);
        Ok(())
    }
}
