//! An axis of a plot: from values to SVG units, and round numbers along it.

/// An axis; `from` and `to` are where its least and largest values stand, in SVG units.
pub(crate) struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    marks: Marks,
}

/// Where an axis is marked.
enum Marks {
    /// At the multiples of a step.
    Every(f64),
    /// At 1, 2 and 5 times the powers of ten; `low` and `high` are logarithms.
    PowersOfTen,
}

impl Axis {
    /// A linear axis that ends at round numbers; infinite values and those that are no numbers are
    /// passed over.
    pub fn linear(values: impl Iterator<Item = f64>, [from, to]: [f64; 2]) -> Self {
        let (low, high) = extremes(values).unwrap_or((0.0, 1.0));
        // Equal values still need a range to stand in.
        let spread = (high - low).max(1e-3 * high.abs()).max(1e-6);
        let step = round_step(spread / 4.0);
        Self {
            low: (low / step).floor() * step,
            high: (low + spread).max(high).div_euclid(step) * step + step,
            from,
            to,
            marks: Marks::Every(step),
        }
    }

    /// An axis from 0 to at least `most` things.
    pub fn counts(most: usize, [from, to]: [f64; 2]) -> Self {
        let step = round_step(most as f64 / 4.0).max(1.0);
        Self {
            low: 0.0,
            high: (most as f64 / step).ceil().max(1.0) * step,
            from,
            to,
            marks: Marks::Every(step),
        }
    }

    /// A logarithmic axis; values must be above 0.
    pub fn logarithmic(values: impl Iterator<Item = f64>, [from, to]: [f64; 2]) -> Self {
        let (low, high) = extremes(values.map(f64::log10)).unwrap_or((0.0, 1.0));
        let margin = 0.04 * (high - low).max(1e-3);
        Self {
            low: low - margin,
            high: high + margin,
            from,
            to,
            marks: Marks::PowersOfTen,
        }
    }

    /// Where a value stands.
    pub fn at(&self, value: f64) -> f64 {
        let value = match self.marks {
            Marks::Every(_) => value,
            Marks::PowersOfTen => value.log10(),
        };
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Least and largest value on the axis.
    pub fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Places and texts of the marks.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        match self.marks {
            Marks::Every(step) => {
                let decimals = (-step.log10().floor()).max(0.0) as usize;
                let count = ((self.high - self.low) / step).round() as usize;
                let value = |i: usize| self.low + i as f64 * step;
                (0..=count)
                    .map(|i| (self.at(value(i)), format!("{:.decimals$}", value(i))))
                    .collect()
            }
            Marks::PowersOfTen => (self.low.floor() as i32..=self.high.ceil() as i32)
                .flat_map(|power| [1.0, 2.0, 5.0].map(|digit: f64| digit * 10f64.powi(power)))
                .filter(|value| (self.low..=self.high).contains(&value.log10()))
                .map(|value| (self.at(value), value.to_string()))
                .collect(),
        }
    }
}

fn extremes(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .filter(|value| value.is_finite())
        .fold(None, |ends, value| match ends {
            None => Some((value, value)),
            Some((low, high)) => Some((value.min(low), value.max(high))),
        })
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let multiples = [1.0, 2.0, 5.0, 10.0];
    let step = multiples
        .into_iter()
        .map(|m| m * power)
        .find(|s| *s >= rough * 0.999);
    step.unwrap_or(10.0 * power)
}
