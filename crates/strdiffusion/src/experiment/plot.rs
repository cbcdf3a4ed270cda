//! Curves as a small SVG that reads in light and dark.

use std::fmt::Write;

use crate::evaluation::axis::Axis;
use crate::text::escaped;

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
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let (left, right) = (LEFT, WIDTH - RIGHT);
        let along = if self.reverse_x {
            [right, left]
        } else {
            [left, right]
        };
        let x_axis = match self.log_x {
            true => Axis::logarithmic(points().map(|p| p.0), along),
            false => Axis::linear(points().map(|p| p.0), along),
        };
        let y_axis = Axis::linear(points().map(|p| p.1), [HEIGHT - BOTTOM, TOP]);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"{title}\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{title}</text>\n",
            title = escaped(&self.title)
        );
        let bottom = HEIGHT - BOTTOM;
        for (at, label) in y_axis.ticks() {
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {at:.1}H{right:.1}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" \
                 y=\"{t:.1}\" text-anchor=\"end\">{label}</text>",
                x = LEFT - 6.0,
                t = at + 4.0,
            );
        }
        for (at, label) in x_axis.ticks() {
            let _ = writeln!(
                svg,
                "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                bottom + 18.0,
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n<text \
             transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 12.0,
            escaped(&self.x),
            (TOP + bottom) / 2.0,
            escaped(&self.y)
        );
        for (i, curve) in self.curves.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let dash = if i < COLOURS.len() { "none" } else { "5 3" };
            let line: Vec<String> = curve
                .points
                .iter()
                .map(|&(x, y)| format!("{:.1},{:.1}", x_axis.at(x), y_axis.at(y)))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
                 stroke-dasharray=\"{dash}\"/>",
                line.join(" ")
            );
            if curve.points.len() <= 20 {
                for &(x, y) in &curve.points {
                    let (x, y) = (x_axis.at(x), y_axis.at(y));
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
                escaped(&curve.name)
            );
        }
        svg + "</svg>\n"
    }
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
