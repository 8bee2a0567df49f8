//! One item in one outbox: what was told of it, and what is left to tell.

use super::ledger::{Position, Source};
use super::message::What;
use super::news::News;
use crate::model::time::Ms;
use std::sync::Arc;

pub struct Member {
    pub news: Arc<News>,
    pub source: Option<Source>,
    /// Records that are open because of this member.
    pub pending: Vec<Position>,
    /// The last news that was told, or decided not to be.
    told: Option<(String, u64)>,
    /// The receiver knows that it fires.
    pub heard: bool,
    /// Nothing was told of it since a restart: what was told is what the offsets say.
    is_remembered: bool,
    /// Whether the receiver was told of it before a restart is not known: it is told again, and in any case of the end.
    is_doubtful: bool,
    /// Who owned the partition before may have told of it: it is told as new, and in any case of the end.
    pub may_have_been_told: bool,
    /// The end of what the receiver knows, where it came again before that end was told.
    missed_end: Option<Arc<News>>,
    /// What came again cannot be told: the missed end is.
    tells_end: bool,
    /// Silenced or inhibited when it was looked at last.
    pub is_held_back: bool,
    /// From when its age counts: when its news was written, or when nothing held it back any more.
    pub fresh_ms: Ms,
    /// Since when it could be told.
    pub ready_ms: Option<Ms>,
}

impl Member {
    /// News that nobody was told of.
    pub fn new(news: Arc<News>, at: Option<Position>, written_ms: Ms) -> Member {
        let mut member = Member {
            news: Arc::clone(&news),
            source: None,
            pending: Vec::new(),
            told: None,
            heard: false,
            is_remembered: false,
            is_doubtful: false,
            may_have_been_told: false,
            missed_end: None,
            tells_end: false,
            is_held_back: false,
            fresh_ms: written_ms,
            ready_ms: None,
        };
        member.hear(news, at, written_ms);
        member
    }

    /// What was told before a restart; `maybe_not`: something may have held it back.
    pub fn remembered(news: Arc<News>, source: Source, written_ms: Ms, maybe_not: bool) -> Member {
        let mut member = Member::new(news, None, written_ms);
        (member.source, member.is_remembered) = (Some(source), true);
        if maybe_not {
            member.doubt();
        } else {
            member.tell();
            member.heard = true;
        }
        member
    }

    /// It may not have been told after all, if that was before a restart.
    pub fn doubt(&mut self) {
        if !self.is_remembered {
            return;
        }
        (self.told, self.heard, self.is_held_back, self.is_doubtful) = (None, false, true, true);
    }

    pub fn hear(&mut self, news: Arc<News>, at: Option<Position>, written_ms: Ms) {
        if self.change().is_none() {
            self.fresh_ms = written_ms;
            self.ready_ms = None;
        } else if !self.is_held_back {
            // The newest counts: who is told late of what fires should at least hear how it is now.
            self.fresh_ms = self.fresh_ms.max(written_ms);
        }
        if self.waits_for_end() && self.news.is_over() && !news.is_over() && self.change().is_some() {
            self.missed_end = Some(Arc::clone(&self.news));
        }
        self.news = news;
        self.source = at.map(|at| at.source).or(self.source);
        self.pending.extend(at);
    }

    /// A ticket that goes on and that the receiver is still to be told of.
    pub fn is_untold_ticket(&self) -> bool {
        self.news.is_ticket() && !self.news.is_over() && self.change().is_some()
    }

    /// What is left to tell, of `news_to_tell`.
    pub fn change(&self) -> Option<What> {
        if self.tells_end {
            return Some(What::Ended);
        }
        let (id, seq) = self.news.version();
        match &self.told {
            Some((told, told_seq)) if told == id && *told_seq >= seq => None,
            _ if self.news.is_over() => Some(What::Ended),
            Some((told, _)) if self.heard && told == id => Some(What::Updated),
            _ => Some(What::Fired),
        }
    }

    pub fn news_to_tell(&self) -> &Arc<News> {
        self.missed_end.as_ref().filter(|_| self.tells_end).unwrap_or(&self.news)
    }

    /// Whether the receiver waits for an end: of the present news, or of what came again.
    pub fn owes_end(&self) -> bool {
        self.missed_end.is_some() || self.change() == Some(What::Ended)
    }

    /// The present news is looked at afresh.
    pub fn look_again(&mut self) {
        self.tells_end = false;
    }

    /// The present news cannot be told now. Whether the end before it is to be told instead.
    pub fn tell_missed_end(&mut self) -> bool {
        self.tells_end = self.missed_end.is_some();
        self.tells_end
    }

    /// The present news needs no telling any more.
    pub fn tell(&mut self) {
        let news = Arc::clone(&self.news);
        self.tell_of(&news);
    }

    /// This news needs no telling any more; there may be newer.
    pub fn tell_of(&mut self, news: &News) {
        let (id, seq) = news.version();
        self.told = Some((id.to_owned(), seq));
        (self.missed_end, self.tells_end) = (None, false);
    }

    /// The receiver was told.
    pub fn delivered(&mut self, news: &News, what: What) {
        self.tell_of(news);
        self.heard = what != What::Ended;
        (self.is_remembered, self.is_doubtful, self.may_have_been_told) = (false, false, false);
    }

    /// Whether the receiver knows of it, or may.
    pub fn may_know(&self) -> bool {
        self.heard || self.is_doubtful
    }

    /// Whether it has to be told of the end, whatever holds back what begins.
    pub fn waits_for_end(&self) -> bool {
        self.may_know() || self.may_have_been_told
    }

    /// It can be told now, and the receiver does not know of it.
    pub fn begins(&self) -> bool {
        self.ready_ms.is_some() && !self.may_know()
    }

    /// Nothing is left, and nothing will come.
    pub fn is_done(&self) -> bool {
        self.news.is_over() && self.change().is_none()
    }
}
