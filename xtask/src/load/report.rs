//! The table.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::scenario::{CHUNKS, Scenario};

/// What one way through was measured at. Times in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// Processor time per request; none where there is no proxy.
    pub(super) cpu: Option<f64>,
    /// Requests per second in the closed loop.
    pub(super) rate: f64,
    /// Latency in the open loop.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// To the first word in the open loop, the median.
    pub(super) first: f64,
}

/// Resident memory in KiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) name: &'static str,
    pub(super) idle: u64,
    pub(super) held: u64,
}

const COLUMNS: [&str; 8] = [
    "scenario",
    "through",
    "CPU µs/req",
    "CPU µs/chunk",
    "req/s",
    "+p50 µs",
    "+p99 µs",
    "+first µs",
];

const LEGEND: &str = "\
In brackets: times nginx. CPU: user and system time of the proxy's processes over a closed loop of 16
connections; per chunk: the same by 32. req/s: the closed loop, where proxy and load share nothing
but the machine (streams are paced by the mock). +p50, +p99: added to direct calls at a steady 500
requests a second; +first: to the first word (streams: at 100 a second). Medians of the rounds.";

/// One scenario's lines.
pub(super) fn rows(scenario: &Scenario, all: &[(&str, Figures)]) -> Vec<[String; 8]> {
    let of = |wanted: &str| all.iter().find(|(name, _)| *name == wanted).map(|(_, found)| found);
    let (direct, nginx) = (of("direct"), of("nginx"));
    let line = |name: &str, figures: &Figures| {
        // Nothing is told against itself.
        let nginx = nginx.filter(|_| name != "nginx" && name != "direct");
        let plain =
            |figure: fn(&Figures) -> Option<f64>| told(figure(figures), nginx.and_then(figure));
        let added = |figure: fn(&Figures) -> f64| {
            let over = |figures: &Figures| direct.map(|direct| figure(figures) - figure(direct));
            told(over(figures).filter(|_| name != "direct"), nginx.and_then(over))
        };
        let whole = !scenario.streamed;
        let only = |shown: bool, text: String| if shown { text } else { "-".to_owned() };
        [
            scenario.name.to_owned(),
            name.to_owned(),
            plain(|figures| figures.cpu),
            only(!whole, plain(|figures| figures.cpu.map(per_chunk))),
            only(whole, plain(|figures| Some(figures.rate))),
            only(whole, added(|figures| figures.p50)),
            only(whole, added(|figures| figures.p99)),
            only(!whole, added(|figures| figures.first)),
        ]
    };
    all.iter().map(|(name, figures)| line(name, figures)).collect()
}

fn per_chunk(request: f64) -> f64 {
    request / f64::from(u32::try_from(CHUNKS).unwrap_or(u32::MAX))
}

/// A figure, and how many times nginx's it is where that says something.
fn told(figure: Option<f64>, nginx: Option<f64>) -> String {
    let Some(figure) = figure else { return "-".to_owned() };
    let digits = usize::from(figure.abs() < 100.0);
    match nginx.filter(|nginx| *nginx > 0.0 && figure > 0.0) {
        Some(nginx) => format!("{figure:.digits$} ({:.1}x)", figure / nginx),
        None => format!("{figure:.digits$}"),
    }
}

/// Everything, for people.
pub(super) fn table(rows: &[[String; 8]], memory: &[Memory], facts: &str) -> String {
    let mut all = vec![COLUMNS.map(str::to_owned)];
    all.extend(rows.iter().cloned());
    let resident = |memory: &Memory| {
        let Memory { name, idle, held } = *memory;
        format!("RSS {name:<9} {:>4} MiB idle, {:>4} MiB with 500 held", idle >> 10, held >> 10)
    };
    let mut lines = vec![facts.to_owned(), String::new()];
    lines.extend(aligned(&all));
    lines.push(String::new());
    lines.extend(memory.iter().map(resident));
    lines.push(String::new());
    lines.push(LEGEND.to_owned());
    lines.join("\n")
}

fn aligned(rows: &[[String; 8]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..COLUMNS.len()).filter_map(width).collect();
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            // Words to the left, numbers to the right.
            if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}

/// On what it was measured, and what.
pub(super) fn facts(root: &Path) -> String {
    let first = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let found = text.lines().find_map(|line| Some(line.strip_prefix(key)?.trim().to_owned()));
        found.unwrap_or_else(|| "unknown".to_owned())
    };
    let model = first("/proc/cpuinfo", "model name");
    let kernel = first("/proc/sys/kernel/osrelease", "");
    let told = |program: &str, arguments: &[&str]| {
        let told = Command::new(program).args(arguments).current_dir(root).output().ok();
        told.filter(|told| told.status.success())
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let commit = told("git", &["rev-parse", "--short", "HEAD"]).map(|told| text(&told.stdout));
    let changed =
        told("git", &["status", "--porcelain"]).is_some_and(|told| !told.stdout.is_empty());
    let nginx = told("/usr/sbin/nginx", &["-v"]).map(|told| text(&told.stderr));
    format!(
        "{} cores, {}; Linux {kernel}; {}; doorward {}{}",
        super::cores(),
        model.trim_start_matches(':').trim(),
        nginx.unwrap_or_default().replace("nginx version: ", ""),
        commit.unwrap_or_else(|| "of no commit".to_owned()),
        if changed { " with changes" } else { "" },
    )
}

#[cfg(test)]
mod tests {
    use super::super::scenario::ALL;
    use super::*;

    const DIRECT: Figures = Figures { cpu: None, rate: 9e4, p50: 100.0, p99: 200.0, first: 50.0 };
    const NGINX: Figures =
        Figures { cpu: Some(25.0), rate: 4e4, p50: 200.0, p99: 400.0, first: 100.0 };
    const OURS: Figures =
        Figures { cpu: Some(50.0), rate: 2e4, p50: 350.0, p99: 600.0, first: 200.0 };

    #[test]
    fn figures_are_told_against_direct_calls_and_nginx() {
        let rows = rows(&ALL[0], &[("direct", DIRECT), ("nginx", NGINX), ("doorward", OURS)]);
        assert_eq!(rows[0][2..], ["-", "-", "90000", "-", "-", "-"]);
        assert_eq!(rows[1][2..], ["25.0", "-", "40000", "100", "200", "-"]);
        assert_eq!(
            rows[2][2..],
            ["50.0 (2.0x)", "-", "20000 (0.5x)", "250 (2.5x)", "400 (2.0x)", "-"]
        );
    }

    #[test]
    fn streams_are_told_by_chunk_and_first_word() {
        let stream = ALL.iter().find(|scenario| scenario.streamed).unwrap();
        let rows = rows(stream, &[("direct", DIRECT), ("doorward", OURS)]);
        assert_eq!(rows[1][2..], ["50.0", "1.6", "-", "-", "-", "150"]);
    }

    #[test]
    fn columns_stand_under_each_other() {
        let rows = rows(&ALL[0], &[("direct", DIRECT), ("nginx", NGINX)]);
        let text = table(&rows, &[Memory { name: "nginx", idle: 8192, held: 16384 }], "2 cores");
        let lines: Vec<usize> =
            text.lines().skip(2).take(3).map(|line| line.chars().count()).collect();
        assert!(lines.iter().all(|length| *length == lines[0]), "{text}");
        assert!(text.contains("RSS nginx        8 MiB idle,   16 MiB with 500 held"));
    }
}
