//! Curves as a small SVG that reads in light and dark.

use std::fmt::Write;

/// A curve.
#[derive(Debug, Clone)]
pub struct Curve {
    /// Its name.
    pub name: String,
    /// Points, in the order in which they are joined.
    pub points: Vec<(f64, f64)>,
}

/// A figure.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// What runs to the right, with its unit.
    pub x: String,
    /// What runs up, with its unit.
    pub y: String,
    /// Whether the x axis is logarithmic; its values must be above 0 then.
    pub log_x: bool,
    /// Whether x runs from large to small.
    pub reverse_x: bool,
    /// The curves.
    pub curves: Vec<Curve>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 210.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 52.0;

/// Distinguishable without colour vision (Okabe and Ito), and on light and dark.
const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#8c6bb1",
];

impl Figure {
    /// The figure as an SVG document.
    pub fn to_svg(&self) -> String {
        let place = |x: f64| if self.log_x { x.log10() } else { x };
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let (x0, x1) = range(points().map(|p| place(p.0)));
        let (y0, y1) = range(points().map(|p| p.1));
        let at_x = |x: f64| {
            let share = (place(x) - x0) / (x1 - x0);
            let share = if self.reverse_x { 1.0 - share } else { share };
            LEFT + share * (WIDTH - LEFT - RIGHT)
        };
        let at_y = |y: f64| HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"{title}\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{title}</text>\n",
            title = escape(&self.title)
        );
        let bottom = HEIGHT - BOTTOM;
        for y in ticks(y0, y1) {
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {h:.1}H{right:.1}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" \
                 y=\"{t:.1}\" text-anchor=\"end\">{y}</text>",
                h = at_y(y),
                right = WIDTH - RIGHT,
                x = LEFT - 6.0,
                t = at_y(y) + 4.0,
                y = short(y)
            );
        }
        let x_ticks = if self.log_x {
            (x0.floor() as i32..=x1.ceil() as i32)
                .flat_map(|power| [1.0, 2.0, 5.0].map(|d: f64| d * 10f64.powi(power)))
                .filter(|x| (x0..=x1).contains(&x.log10()))
                .collect()
        } else {
            ticks(x0, x1)
        };
        for x in x_ticks {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                at_x(x),
                bottom + 18.0,
                short(x)
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n<text \
             transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 12.0,
            escape(&self.x),
            (TOP + bottom) / 2.0,
            escape(&self.y)
        );
        for (i, curve) in self.curves.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let dash = if i < COLOURS.len() { "none" } else { "5 3" };
            let line: Vec<String> = curve
                .points
                .iter()
                .map(|&(x, y)| format!("{:.1},{:.1}", at_x(x), at_y(y)))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
                 stroke-dasharray=\"{dash}\"/>",
                line.join(" ")
            );
            if curve.points.len() <= 20 {
                for &(x, y) in &curve.points {
                    let (x, y) = (at_x(x), at_y(y));
                    let _ = write!(
                        svg,
                        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
                    );
                }
            }
            let (x, y) = (WIDTH - RIGHT + 14.0, TOP + 10.0 + 20.0 * i as f64);
            let _ = writeln!(
                svg,
                "<path d=\"M{x} {y}h18\" stroke=\"{colour}\" stroke-width=\"3\" \
                 stroke-dasharray=\"{dash}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                x + 24.0,
                y + 4.0,
                escape(&curve.name)
            );
        }
        svg + "</svg>\n"
    }
}

/// Least and largest value, with a margin; never empty.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
            (low.min(v), high.max(v))
        });
    if low > high {
        return (0.0, 1.0);
    }
    let margin = 0.04 * (high - low).max(1e-3);
    (low - margin, high + margin)
}

/// Round numbers within a range, about six of them.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|d| d * power)
        .into_iter()
        .find(|&step| step >= rough)
        .unwrap_or(power);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

fn short(value: f64) -> String {
    format!("{}", (value * 1e6).round() / 1e6)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_shows_every_curve_and_survives_a_single_point() {
        let figure = Figure {
            title: "a < b".into(),
            x: "steps".into(),
            y: "dB".into(),
            log_x: true,
            reverse_x: false,
            curves: vec![
                Curve {
                    name: "first".into(),
                    points: vec![(1.0, 2.0)],
                },
                Curve {
                    name: "second & third".into(),
                    points: vec![(1.0, 2.0), (100.0, 2.0)],
                },
            ],
        };
        let svg = figure.to_svg();
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("second &amp; third") && svg.contains("a &lt; b"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
