//! Plots as inline SVG; colours come from the page's style.

use super::super::{Metric, Row, Summary};
use super::ReportInput;
use crate::evaluation::axis::Axis;
use crate::text::escaped;
use std::fmt::Write;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 38.0;
/// More points than this are thinned evenly: they would only cover each other.
const MOST_POINTS: usize = 4000;

pub(super) fn plots(input: &ReportInput<'_>, summary: &Summary) -> String {
    let rows = input.rows;
    let wanted = |metric| input.settings.metrics.contains(&metric);
    let mut html = String::new();
    let mut scatter = |title: &str, score: fn(&Row) -> Option<f64>, means: Vec<(f64, f64)>| {
        html.push_str(&scatter_over_holes(title, rows, score, &means));
    };
    let bucket_means = |mean: fn(&super::super::GroupSummary) -> Option<f64>| -> Vec<(f64, f64)> {
        let groups = summary.buckets.iter();
        groups
            .filter_map(|g| Some((g.hole_ratio.mean?, mean(g)?)))
            .collect()
    };
    if wanted(Metric::Psnr) {
        scatter(
            "PSNR, whole picture (dB)",
            |r| r.psnr,
            bucket_means(|g| g.psnr.mean),
        );
        scatter(
            "PSNR in the hole (dB)",
            |r| r.psnr_hole,
            bucket_means(|g| g.psnr_hole.mean),
        );
    }
    if wanted(Metric::Ssim) {
        scatter(
            "SSIM, whole picture",
            |r| r.ssim,
            bucket_means(|g| g.ssim.mean),
        );
    }
    if wanted(Metric::Swd) {
        scatter("SWD in the hole", |r| r.swd, bucket_means(|g| g.swd.mean));
    }
    if wanted(Metric::Gradient) {
        scatter(
            "Gradient spread in the hole, share of the truth's",
            |r| r.gradient_spread,
            bucket_means(|g| g.gradient_spread.mean),
        );
    }
    scatter("LPIPS", |r| r.lpips, bucket_means(|g| g.lpips.mean));
    let mut histogram = |title: &str, score: fn(&Row) -> Option<f64>| {
        html.push_str(&histogram(title, rows.iter().filter_map(score)));
    };
    if wanted(Metric::Psnr) {
        histogram("PSNR in the hole (dB)", |r| r.psnr_hole);
    }
    if wanted(Metric::Ssim) {
        histogram("SSIM in the hole", |r| r.ssim_hole);
    }
    histogram("Time for a picture (s)", |r| r.seconds);
    html
}

fn scatter_over_holes(
    title: &str,
    rows: &[Row],
    score: fn(&Row) -> Option<f64>,
    means: &[(f64, f64)],
) -> String {
    let points: Vec<(&Row, f64)> = rows
        .iter()
        .filter_map(|row| Some((row, score(row).filter(|v| v.is_finite())?)))
        .collect();
    if points.is_empty() {
        return String::new();
    }
    let x = Axis::linear(
        points.iter().map(|(row, _)| row.hole_ratio * 100.0),
        [LEFT, WIDTH - RIGHT],
    );
    let y = Axis::linear(points.iter().map(|p| p.1), [HEIGHT - BOTTOM, TOP]);
    let mut svg = frame(title, "hole (% of the picture)", &x, &y);
    for (row, value) in points.iter().step_by(points.len().div_ceil(MOST_POINTS)) {
        let _ = write!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"><title>{}: {value:.4}</title></circle>",
            x.at(row.hole_ratio * 100.0),
            y.at(*value),
            escaped(&row.id)
        );
    }
    if means.len() > 1 {
        let line: Vec<String> = means
            .iter()
            .map(|(ratio, mean)| format!("{:.1},{:.1}", x.at(ratio * 100.0), y.at(*mean)))
            .collect();
        let _ = write!(
            svg,
            "<polyline class=\"mean\" points=\"{}\"/>",
            line.join(" ")
        );
    }
    let caption = format!("{title} over the hole ratio; line: bucket means");
    finish(svg, &caption)
}

fn histogram(title: &str, values: impl Iterator<Item = f64>) -> String {
    let values: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    if values.len() < 2 {
        return String::new();
    }
    let x = Axis::linear(values.iter().copied(), [LEFT, WIDTH - RIGHT]);
    let (low, high) = x.ends();
    let bins = ((values.len() as f64).sqrt().ceil() as usize).clamp(5, 30);
    let mut counts = vec![0usize; bins];
    for value in &values {
        let place = (value - low) / (high - low) * bins as f64;
        counts[(place as usize).min(bins - 1)] += 1;
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    let y = Axis::counts(most, [HEIGHT - BOTTOM, TOP]);
    let mut svg = frame(&format!("Histogram: {title}"), title, &x, &y);
    let bin_width = (high - low) / bins as f64;
    for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let from = low + bin as f64 * bin_width;
        let (left, right) = (x.at(from), x.at(from + bin_width));
        let top = y.at(*count as f64);
        let _ = write!(
            svg,
            "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{:.3} to {:.3}: {count}</title></rect>",
            left + 0.5,
            (right - left - 1.0).max(0.5),
            HEIGHT - BOTTOM - top,
            from,
            from + bin_width
        );
    }
    finish(svg, &format!("{title}: number of pictures"))
}

fn frame(title: &str, x_label: &str, x: &Axis, y: &Axis) -> String {
    let mut svg = format!(
        "<figure class=\"plot\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escaped(title)
    );
    let bottom = HEIGHT - BOTTOM;
    for (at, label) in y.ticks() {
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0
        );
    }
    for (at, label) in x.ticks() {
        let _ = write!(
            svg,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            bottom + 15.0
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 5.0,
        escaped(x_label)
    );
    svg
}

fn finish(mut svg: String, caption: &str) -> String {
    let _ = write!(
        svg,
        "</svg><figcaption>{}</figcaption></figure>",
        escaped(caption)
    );
    svg
}
