//! The score table: metrics down, buckets across, as papers print it.

use super::super::{GroupSummary, Metric, Statistic, Summary};
use super::{FidReport, ReportInput, number};
use crate::text::escaped;
use std::fmt::Write;

struct Line {
    label: &'static str,
    note: &'static str,
    decimals: usize,
    statistic: fn(&GroupSummary) -> Statistic,
}

const fn line(
    label: &'static str,
    note: &'static str,
    decimals: usize,
    statistic: fn(&GroupSummary) -> Statistic,
) -> Line {
    Line {
        label,
        note,
        decimals,
        statistic,
    }
}

pub(super) fn scores(input: &ReportInput<'_>, summary: &Summary) -> String {
    let wanted = |metric| input.settings.metrics.contains(&metric);
    let mut lines = Vec::new();
    if wanted(Metric::Psnr) {
        lines.push(line("PSNR ↑", "dB, whole picture", 2, |g| g.psnr));
        lines.push(line("PSNR ↑", "dB, in the hole", 2, |g| g.psnr_hole));
    }
    if wanted(Metric::Ssim) {
        lines.push(line("SSIM ↑", "whole picture", 4, |g| g.ssim));
        lines.push(line("SSIM ↑", "in the hole", 4, |g| g.ssim_hole));
    }
    if wanted(Metric::MsSsim) {
        lines.push(line("MS-SSIM ↑", "whole picture", 4, |g| g.ms_ssim));
    }
    if wanted(Metric::Swd) {
        lines.push(line("SWD ↓", "in the hole, mean of its levels", 2, |g| {
            g.swd
        }));
        let levels = [
            line("SWD ↓", "finest details", 2, |g| g.swd_0),
            line("SWD ↓", "details at 1/2", 2, |g| g.swd_1),
            line("SWD ↓", "details at 1/4", 2, |g| g.swd_2),
            line("SWD ↓", "details at 1/8", 2, |g| g.swd_3),
            line("SWD ↓", "the rest: colours, large shapes", 2, |g| {
                g.swd_low
            }),
        ];
        let scored = |line: &Line| (line.statistic)(&summary.overall).n > 0;
        lines.extend(levels.into_iter().filter(scored));
    }
    if wanted(Metric::Gradient) {
        lines.push(line(
            "Gradient energy → 1",
            "in the hole, ÷ truth's",
            2,
            |g| g.gradient_energy,
        ));
        lines.push(line(
            "Gradient spread → 1",
            "in the hole, ÷ truth's",
            2,
            |g| g.gradient_spread,
        ));
    }
    if wanted(Metric::Lpips) {
        lines.push(line("LPIPS ↓", "whole picture", 4, |g| g.lpips));
    }
    if summary.overall.seconds.n > 0 {
        lines.push(line("Time", "s per picture", 3, |g| g.seconds));
    }
    if summary.overall.network_evaluations.n > 0 {
        lines.push(line("Evaluations", "of networks, per picture", 1, |g| {
            g.network_evaluations
        }));
    }

    let mut groups: Vec<&GroupSummary> = summary.buckets.iter().collect();
    groups.push(&summary.overall);
    let mut html = String::from(
        "<div class=\"scroll\"><table class=\"scores\"><thead><tr><th scope=\"col\">Hole,&nbsp;%</th>",
    );
    for group in &groups {
        let label = match group.label.as_str() {
            "all" => "all".to_owned(),
            bucket => escaped(&bucket.replace('-', "–")),
        };
        let _ = write!(html, "<th scope=\"col\">{label}</th>");
    }
    html.push_str("</tr></thead><tbody><tr class=\"count\"><th scope=\"row\">Pictures</th>");
    for group in &groups {
        let _ = write!(html, "<td>{}</td>", group.n);
    }
    html.push_str("</tr>");
    for line in &lines {
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}<small>{}</small></th>",
            line.label, line.note
        );
        let lpips_missing = input.not_computed.get(&Metric::Lpips);
        match lpips_missing.filter(|_| line.label.starts_with("LPIPS")) {
            Some(reason) => {
                let columns = groups.len();
                let _ = write!(
                    html,
                    "<td class=\"missing\" colspan=\"{columns}\">not computed: {}</td>",
                    escaped(reason)
                );
            }
            None => {
                for group in &groups {
                    html.push_str(&cell(&(line.statistic)(group), line.decimals));
                }
            }
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
    html.push_str(&notes(input, summary));
    html
}

fn cell(statistic: &Statistic, decimals: usize) -> String {
    let mean = match statistic.mean {
        None if statistic.infinite > 0 => Some(f64::INFINITY),
        mean => mean,
    };
    let mut html = format!("<td>{}", number(mean, decimals));
    if let Some(std) = statistic.std {
        // Three digits of a spread are enough, and keep five columns on a phone.
        let decimals = decimals.min(3);
        let _ = write!(html, "<small>±\u{2009}{std:.decimals$}</small>");
    }
    if statistic.infinite > 0 && statistic.mean.is_some() {
        let _ = write!(html, "<small>+ {} exact</small>", statistic.infinite);
    }
    html.push_str("</td>");
    html
}

fn notes(input: &ReportInput<'_>, summary: &Summary) -> String {
    let mut notes = vec![
        "Mean over the pictures, ± sample standard deviation. Scores are those of the written 8-bit pictures."
            .to_owned(),
    ];
    if summary.outside_buckets > 0 {
        notes.push(format!(
            "{} pictures have holes outside all buckets and count under “all” only.",
            summary.outside_buckets
        ));
    }
    if summary.overall.psnr.infinite + summary.overall.psnr_hole.infinite > 0 {
        notes.push("Exact results have an infinite PSNR; they are left out of its mean and counted beside it.".to_owned());
    }
    if input.settings.metrics.contains(&Metric::MsSsim)
        && summary.overall.ms_ssim.n < summary.overall.n
    {
        notes.push("MS-SSIM needs pictures of 161 pixels and more on each side.".to_owned());
    }
    let gradient = &summary.overall.gradient_spread;
    if input.settings.metrics.contains(&Metric::Gradient) && gradient.n < summary.overall.n {
        notes.push("Gradient ratios leave out holes in which the truth is flat.".to_owned());
    }
    if input.settings.metrics.contains(&Metric::Swd) {
        notes.push(
            "SWD and the gradient ratios compare looks, PSNR and SSIM pixels: a sharper fill can cost PSNR."
                .to_owned(),
        );
    }
    for (metric, reason) in &input.not_computed {
        if *metric == Metric::Lpips {
            continue; // It stands in the table.
        }
        let name = metric.to_string().to_uppercase();
        notes.push(format!("{name}: not computed: {}.", escaped(reason)));
    }
    let items: String = notes
        .iter()
        .map(|note| format!("<li>{note}</li>"))
        .collect();
    format!("<ul class=\"notes\">{items}</ul>")
}

pub(super) fn fid(fid: &FidReport) -> String {
    match fid {
        FidReport::NotRequested => String::new(),
        FidReport::NotComputed { reason } => format!(
            "<section><h2>FID</h2><p>not computed: {}</p></section>",
            escaped(reason)
        ),
        FidReport::Computed {
            value,
            n,
            resize_filter,
            weights_sha256,
        } => {
            let warning = fid.warning().map_or_else(String::new, |warning| {
                format!("<p class=\"warning\">{}</p>", escaped(&warning))
            });
            format!(
                "<section><h2>FID ↓</h2><p class=\"figure\">{value:.3}</p>{warning}<dl>\
                 <dt>Images</dt><dd>{n} truths, {n} results</dd>\
                 <dt>Resize filter</dt><dd>{}</dd>\
                 <dt>Weights (SHA-256)</dt><dd><code>{}</code></dd></dl></section>",
                escaped(resize_filter),
                escaped(weights_sha256)
            )
        }
    }
}
