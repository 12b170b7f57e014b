//! For how long is counted together.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use doorward_core::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Error, ToSpan as _};
use serde::{Deserialize, Serialize};

use crate::limits::LimitsError;
use crate::{Rule, Span, Unit};

/// How long a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week; the calendar's begins on Monday.
    Week,
    /// A month of the calendar; 30 days, where it is rolling.
    Month,
}

impl Window {
    /// The length of a rolling one.
    pub(crate) const fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 7 * 86_400,
            Self::Month => 30 * 86_400,
        })
    }

    /// The word in messages.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// When a rule's windows begin and end.
#[derive(Debug)]
pub(crate) enum Schedule {
    /// No window: what is held at the moment counts.
    Held,
    /// A window that moves on with the clock.
    Rolling(Duration),
    /// The calendar's minutes and hours, which are the same everywhere but for a few zones that
    /// are off by parts of an hour: counted in UTC.
    Even(Duration),
    /// The calendar's days, weeks and months in some place.
    Calendar(Calendar),
}

/// The calendar's days, weeks or months.
#[derive(Debug)]
pub(crate) struct Calendar {
    window: Window,
    zone: TimeZone,
    /// The window that was asked for last. Reckoning it takes longer than all the rest.
    last: Mutex<Option<(Timestamp, Timestamp)>>,
}

impl Schedule {
    /// A rule's schedule.
    pub(crate) fn new(rule: &Rule) -> Result<Self, LimitsError> {
        let name = || rule.name.clone();
        let zone = match &rule.time_zone {
            None => None,
            Some(zone) => match TimeZoneDatabase::bundled().get(zone) {
                Ok(known) => Some(known),
                Err(_) => return Err(LimitsError::TimeZone(name(), zone.clone())),
            },
        };
        let window = match (rule.what, rule.window) {
            (Unit::Concurrency, None) if !rule.rolling && zone.is_none() => return Ok(Self::Held),
            (Unit::Concurrency, _) => return Err(LimitsError::NoWindow(name())),
            (_, None) => return Err(LimitsError::Window(name())),
            (_, Some(window)) => window,
        };
        let by_place = !rule.rolling && !matches!(window, Window::Minute | Window::Hour);
        if zone.is_some() && !by_place {
            return Err(LimitsError::Nowhere(name()));
        }
        Ok(match by_place {
            _ if rule.rolling => Self::Rolling(window.length()),
            false => Self::Even(window.length()),
            true => Self::Calendar(Calendar {
                window,
                zone: zone.unwrap_or(TimeZone::UTC),
                last: Mutex::new(None),
            }),
        })
    }

    /// What a claim at this time counts in.
    pub(crate) fn span(&self, now: Timestamp) -> Span {
        let (starts, ends) = match self {
            Self::Held => return Span::Held,
            Self::Rolling(length) => return Span::Rolling { length: *length },
            Self::Even(length) => even(*length, now),
            Self::Calendar(calendar) => calendar.at(now),
        };
        Span::Window { starts, ends }
    }
}

/// The window of this length that a time lies in, counted from 1970.
fn even(length: Duration, now: Timestamp) -> (Timestamp, Timestamp) {
    let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
    let starts =
        Timestamp::from_micros(now.as_micros().saturating_sub(now.as_micros().rem_euclid(micros)));
    (starts, starts.after(length))
}

impl Calendar {
    fn at(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((starts, ends)) if (starts..ends).contains(&now) => (starts, ends),
            _ => {
                // The calendar ends in the year 9999; after that windows are even.
                let found = self.reckon(now).unwrap_or_else(|_| even(self.window.length(), now));
                *last = Some(found);
                found
            }
        }
    }

    fn reckon(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), Error> {
        let today = jiff::Timestamp::from_microsecond(now.as_micros())?
            .to_zoned_datetime(self.zone.clone())
            .date();
        let (first, next) = match self.window {
            Window::Week => {
                let monday = today.checked_sub(days_since_monday(today).days())?;
                (monday, monday.checked_add(1.week())?)
            }
            Window::Month => {
                let first = today.first_of_month();
                (first, first.checked_add(1.month())?)
            }
            Window::Minute | Window::Hour | Window::Day => (today, today.tomorrow()?),
        };
        Ok((self.midnight(first)?, self.midnight(next)?))
    }

    /// When a day begins: its first moment, where the clocks skip or repeat midnight.
    fn midnight(&self, day: Date) -> Result<Timestamp, Error> {
        let zoned = day.to_zoned_datetime(self.zone.clone())?;
        Ok(Timestamp::from_micros(zoned.timestamp().as_microsecond()))
    }
}

fn days_since_monday(day: Date) -> i64 {
    day.weekday().to_monday_zero_offset().into()
}

#[cfg(test)]
mod tests;
