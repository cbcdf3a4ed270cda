//! The page around tables, plots and pictures.

use super::super::Summary;
use super::gallery::Gallery;
use super::{ReportInput, plots, tables};
use crate::text::escaped;
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

pub(super) fn page(input: &ReportInput<'_>, summary: &Summary, gallery: &Gallery) -> String {
    let method = escaped(&input.settings.method);
    let buckets: Vec<String> = input
        .settings
        .buckets
        .iter()
        .map(|b| b.to_string())
        .collect();
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>Inpainting evaluation: {method}</title><style>{STYLE}</style></head><body>\
         <header><h1>Inpainting evaluation</h1><p class=\"method\">{method}</p></header><main>"
    );
    html.push_str(&warnings(input));
    let _ = write!(
        html,
        "<section><h2>Scores</h2>{}</section>",
        tables::scores(input, summary)
    );
    html.push_str(&tables::fid(&input.fid));
    let _ = write!(
        html,
        "<section><h2>Plots</h2><div class=\"plots\">{}</div></section>",
        plots::plots(input, summary)
    );
    html.push_str(&gallery.html(&buckets));
    html.push_str(&settings(input));
    html.push_str(&failures(input));
    let _ = writeln!(
        html,
        "</main><footer>One row per picture: <code>results.csv</code>. Everything in one file: \
         <code>results.json</code>. Written by strdiffusion.</footer><script>{SCRIPT}</script></body></html>"
    );
    html
}

fn warnings(input: &ReportInput<'_>) -> String {
    let planned = input.pairing.pairs.len();
    let mut html = String::new();
    if !input.failures.is_empty() {
        let _ = write!(
            html,
            "<p class=\"warning\">{} of {planned} pictures have no scores; <a href=\"#failures\">the reasons</a>. \
             The means are over the others.</p>",
            input.failures.len()
        );
    }
    let open = planned - (input.rows.len() + input.failures.len()).min(planned);
    if open > 0 {
        let _ = write!(
            html,
            "<p class=\"warning\">The evaluation was stopped with {open} of {planned} pictures to go. \
             The same command continues it.</p>"
        );
    }
    html
}

fn settings(input: &ReportInput<'_>) -> String {
    let settings = input.settings;
    let size = match settings.size {
        Some(size) => format!(
            "largest centred square, resized to {size} × {size} by Lanczos-3; masks by nearest neighbour"
        ),
        None => "pictures as they are; masks resized to them by nearest neighbour".to_owned(),
    };
    let metrics: Vec<String> = settings.metrics.iter().map(ToString::to_string).collect();
    let seconds: f64 = input.rows.iter().filter_map(|row| row.seconds).sum();
    let memory = input
        .peak_memory_bytes
        .map_or("unknown".to_owned(), |bytes| {
            format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
        });
    let mut items = vec![
        ("Method", settings.method.clone()),
        ("Device", settings.device.clone()),
        ("Peak memory, last run", memory),
        ("Time for all pictures", format!("{seconds:.1} s")),
        ("Images", settings.images.clone()),
        ("Masks", settings.masks.clone()),
        ("Pairing", input.pairing.rule.to_string()),
        ("Size", size),
        ("Pictures", input.pairing.pairs.len().to_string()),
        (
            "Limit",
            settings.limit.map_or("none".to_owned(), |n| {
                format!("the first {n} images in name order")
            }),
        ),
        ("Seed", settings.seed.to_string()),
        (
            "Buckets",
            format!(
                "{} % (lower end excluded, upper end included)",
                settings.buckets
            ),
        ),
        ("Metrics", metrics.join(", ")),
    ];
    for (name, value) in &settings.method_settings {
        items.push((name, value.clone()));
    }
    let items: String = items
        .iter()
        .map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value)))
        .collect();
    format!("<section><h2>Settings</h2><dl>{items}</dl></section>")
}

fn failures(input: &ReportInput<'_>) -> String {
    if input.failures.is_empty() {
        return String::new();
    }
    let rows: String = input
        .failures
        .iter()
        .map(|f| format!("<dt>{}</dt><dd>{}</dd>", escaped(&f.id), escaped(&f.reason)))
        .collect();
    format!("<section id=\"failures\"><h2>Pictures without scores</h2><dl>{rows}</dl></section>")
}
