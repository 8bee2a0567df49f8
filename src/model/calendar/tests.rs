use super::*;

fn calendar(text: &str, start: &str, zone: &str) -> Calendar {
    let (count, unit) = CalendarUnit::parse(text).expect("a length");
    Calendar { count, unit, start_civil_ms: parse_civil(start).expect("a time"), zone: zone.to_owned() }
}

fn ms(text: &str) -> Ms {
    text.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

fn text(ms: Ms) -> String {
    jiff::Timestamp::from_millisecond(ms).expect("a time").to_string()
}

fn current(calendar: &Calendar, at: &str) -> [String; 2] {
    let Span { start_ms, end_ms } = calendar.spans_at(ms(at)).current;
    [text(start_ms), text(end_ms)]
}

#[test]
fn a_month_begins_in_its_zone_and_the_boundary_at_its_end_is_its_last() {
    let months = calendar("1M", "2026-01-01 00:00:00", "Europe/Berlin");
    assert_eq!(current(&months, "2026-03-31T21:59:50Z"), ["2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"]);
    assert_eq!(current(&months, "2026-03-31T22:00:00Z"), ["2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"]);
    assert_eq!(current(&months, "2026-03-31T22:00:10Z"), ["2026-03-31T22:00:00Z", "2026-04-30T22:00:00Z"]);
    let Spans { current, previous, .. } = months.spans_at(ms("2025-11-30T12:00:00Z"));
    assert_eq!(
        (text(current.start_ms), text(previous.start_ms)),
        ("2025-10-31T23:00:00Z".into(), "2025-09-30T22:00:00Z".into())
    );
    assert_eq!(previous.end_ms, current.start_ms);
}

#[test]
fn months_are_counted_from_the_start_and_not_chained() {
    let months = calendar("1M", "2026-01-31T00:00:00Z", "UTC");
    assert_eq!(current(&months, "2026-03-01T00:00:00Z"), ["2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"]);
    assert_eq!(current(&months, "2026-03-31T00:00:10Z"), ["2026-03-31T00:00:00Z", "2026-04-30T00:00:00Z"]);
    let years = calendar("1Y", "2024-02-29", "UTC");
    assert_eq!(current(&years, "2025-06-01T00:00:00Z"), ["2025-02-28T00:00:00Z", "2026-02-28T00:00:00Z"]);
    assert_eq!(current(&years, "2028-06-01T00:00:00Z"), ["2028-02-29T00:00:00Z", "2029-02-28T00:00:00Z"]);
}

#[test]
fn days_have_23_and_25_hours_and_one_is_left_out() {
    let days = calendar("1d", "2026-01-01 02:30:00", "Europe/Berlin");
    // 02:30 is missing on 29 March: 03:30 +02:00 begins the day. On 25 October it is there twice: the first one.
    assert_eq!(current(&days, "2026-03-29T12:00:00Z"), ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]);
    assert_eq!(current(&days, "2026-10-25T12:00:00Z"), ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    // Samoa went over the date line: there was no 30 December 2011.
    let apia = calendar("1d", "2011-12-01 00:00:00", "Pacific/Apia");
    let Spans { current, previous, .. } = apia.spans_at(ms("2011-12-30T12:00:00Z"));
    assert_eq!([text(current.start_ms), text(current.end_ms)], ["2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"]);
    assert_eq!([text(previous.start_ms), text(previous.end_ms)], ["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"]);
}

#[test]
fn a_start_inside_a_pane_is_rounded_up() {
    let days = calendar("1d", "2026-01-01 00:00:03", "UTC");
    assert_eq!(current(&days, "2026-01-05T00:00:10Z"), ["2026-01-04T00:00:10Z", "2026-01-05T00:00:10Z"]);
}

#[test]
fn any_boundary_has_one_period_and_the_next_one_follows() {
    for (length, start) in
        [("1d", "2026-01-01"), ("2w", "2026-01-05"), ("1M", "2025-12-31"), ("1Q", "2026-01-01"), ("1Y", "2024-02-29")]
    {
        for zone in ["UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "Europe/Dublin"] {
            let calendar = calendar(length, start, zone);
            let mut at_ms = ms("2003-05-05T05:05:00Z");
            let mut before: Option<Span> = None;
            while at_ms < ms("2030-01-01T00:00:00Z") {
                let Spans { current, previous, .. } = calendar.spans_at(at_ms);
                assert!(current.has_boundary(at_ms) && previous.length_ms() > 0, "{length} {zone} {}", text(at_ms));
                assert_eq!(calendar.spans_at(current.end_ms).current, current);
                if let Some(before) = before {
                    assert_eq!(before, previous, "{length} {zone} {}", text(at_ms));
                }
                before = Some(current);
                at_ms = current.end_ms + PANE_MS;
            }
        }
    }
}

#[test]
fn the_end_of_the_calendar_is_no_trap() {
    let years = calendar("1Y", "2026-01-01", "UTC");
    assert!(years.spans_at(ms("9999-12-30T00:00:00Z")).current.end_ms > ms("9999-12-30T00:00:00Z"));
}

#[test]
fn zones_are_those_of_the_build() {
    assert!(zone("Europe/Berlin").is_some() && zone("Mars/Olympus").is_none());
    assert!(zones_version() >= "2026f", "{}", zones_version());
}
