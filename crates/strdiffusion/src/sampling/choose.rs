//! Choosing between the pair of structure and texture at hand and a resampled one.
//!
//! Both samplers choose here, picture by picture, by functions of scores and states alone.
//! A score that is not a number never wins, and never keeps a number from winning.

use burn::tensor::{Bool, Tensor, TensorData};

use super::events::Verdict;
use super::settings::{Better, DiscriminatorView, Incumbent, Rejected};
use crate::conditioning::Guide;

impl Better {
    /// Whether a resampled pair with the score `new` is taken for one with the score `old`.
    pub fn wins(self, new: f32, old: f32) -> bool {
        match self {
            Self::Newest => true,
            _ if new.is_nan() => false,
            _ if old.is_nan() => true,
            Self::Higher => new > old,
            Self::Lower => new < old,
        }
    }
}

impl DiscriminatorView {
    /// The part of a texture `[b, 3, h, w]` that the discriminator sees; mask `[b, 1, h, w]`.
    pub fn of(self, texture: Tensor<4>, mask: &Tensor<4>) -> Tensor<4> {
        match self {
            Self::Whole => texture,
            Self::Known => texture * mask.clone(),
        }
    }
}

impl Incumbent {
    /// Whether the pairs that go on must be scored before the next round: an average has no score.
    pub fn must_be_scored(self, verdicts: &[Verdict]) -> bool {
        self == Self::Current && verdicts.contains(&Verdict::Averaged)
    }

    /// Brings the scores that the next round is compared with up to date: `scores` are those of
    /// the round that led to `verdicts`.
    pub fn follow(self, incumbent: &mut [f32], scores: &[f32], verdicts: &[Verdict]) {
        if self == Self::First {
            return;
        }
        for ((held, &new), verdict) in incumbent.iter_mut().zip(scores).zip(verdicts) {
            if *verdict == Verdict::Accepted {
                *held = new;
            }
        }
    }
}

/// What the scores of a round decide for each picture. A picture that is not `active` has stopped
/// and stays so; `may_stop` says whether losing this round ends the resampling.
pub(crate) fn judge(
    better: Better,
    rejected: Rejected,
    scores: &[f32],
    incumbent: &[f32],
    active: &[bool],
    may_stop: bool,
) -> Vec<Verdict> {
    (0..scores.len())
        .map(|i| match rejected {
            _ if !active[i] => Verdict::Stopped,
            _ if better.wins(scores[i], incumbent[i]) => Verdict::Accepted,
            _ if may_stop => Verdict::Stopped,
            // What cannot be scored is not averaged in: it may hold no numbers.
            _ if scores[i].is_nan() => Verdict::Dropped,
            Rejected::Dropped => Verdict::Dropped,
            Rejected::Averaged | Rejected::AveragedRescaled => Verdict::Averaged,
        })
        .collect()
}

/// `new` for the pictures that are `chosen`, `old` for the others, bit for bit: what was not
/// chosen leaves no trace, whatever it holds.
pub(crate) fn select(old: &Tensor<4>, new: &Tensor<4>, chosen: &[bool]) -> Tensor<4> {
    let column = TensorData::new(chosen.to_vec(), [chosen.len(), 1, 1, 1]);
    let column: Tensor<4, Bool> = Tensor::from_data(column, &old.device());
    old.clone()
        .mask_where(column.expand(old.dims()), new.clone())
}

/// A state after a reverse step: the mean of the step apart from its noise.
#[derive(Debug, Clone)]
pub(crate) struct Stepped {
    pub mean: Tensor<4>,
    /// What the step adds to its mean.
    pub noise: Tensor<4>,
}

impl Stepped {
    pub fn state(&self) -> Tensor<4> {
        self.mean.clone() + self.noise.clone()
    }
}

/// A structure after a step, and the estimate x̂_0 of its clean end before it.
#[derive(Debug, Clone)]
pub(crate) struct Led {
    pub stepped: Stepped,
    pub clean: Tensor<4>,
}

impl Led {
    pub fn state(&self) -> Tensor<4> {
        self.stepped.state()
    }

    /// What guides the texture.
    pub fn guide(&self, guide: Guide) -> Tensor<4> {
        match guide {
            Guide::StepAhead => self.state(),
            Guide::Clean => self.clean.clone(),
        }
    }
}

/// A structure and the texture that it guided, both at t − 1.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub structure: Led,
    pub texture: Stepped,
    /// The texture's clean estimate ŷ_0.
    pub clean: Tensor<4>,
}

impl Pair {
    /// The pair that goes on, picture by picture.
    pub fn settle(&self, challenger: &Self, verdicts: &[Verdict], rejected: Rejected) -> Self {
        // The mean of two independent draws has half their variance.
        let noise_scale = match rejected {
            Rejected::AveragedRescaled => std::f64::consts::SQRT_2,
            Rejected::Averaged | Rejected::Dropped => 1.0,
        };
        let stepped = |old: &Stepped, new: &Stepped| Stepped {
            mean: settle(&old.mean, &new.mean, verdicts, 1.0),
            noise: settle(&old.noise, &new.noise, verdicts, noise_scale),
        };
        Self {
            structure: Led {
                stepped: stepped(&self.structure.stepped, &challenger.structure.stepped),
                clean: settle(
                    &self.structure.clean,
                    &challenger.structure.clean,
                    verdicts,
                    1.0,
                ),
            },
            texture: stepped(&self.texture, &challenger.texture),
            clean: settle(&self.clean, &challenger.clean, verdicts, 1.0),
        }
    }
}

/// `new` where it was accepted, `scale` times the mean of both where it was averaged in, else
/// `old`.
fn settle(old: &Tensor<4>, new: &Tensor<4>, verdicts: &[Verdict], scale: f64) -> Tensor<4> {
    let that_are = |wanted| -> Vec<bool> { verdicts.iter().map(|&v| v == wanted).collect() };
    let mut settled = select(old, new, &that_are(Verdict::Accepted));
    if verdicts.contains(&Verdict::Averaged) {
        let mean = (old.clone() * 0.5 + new.clone() * 0.5) * scale;
        settled = select(&settled, &mean, &that_are(Verdict::Averaged));
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::host_values;
    use burn::tensor::Device;

    const NAN: f32 = f32::NAN;

    /// One number for each picture of the batch.
    fn states(values: &[f32]) -> Tensor<4> {
        let data = TensorData::new(values.to_vec(), [values.len(), 1, 1, 1]);
        Tensor::from_data(data, &Device::flex())
    }

    /// A pair for each picture, of whose six tensors each holds another multiple of `values`.
    fn pair(values: &[f32]) -> Pair {
        let times = |factor: f32| states(&values.iter().map(|v| v * factor).collect::<Vec<_>>());
        let stepped = |factor| Stepped {
            mean: times(factor),
            noise: times(factor + 1.0),
        };
        Pair {
            structure: Led {
                stepped: stepped(1.0),
                clean: times(6.0),
            },
            texture: stepped(3.0),
            clean: times(5.0),
        }
    }

    /// The six tensors of a pair: means and noise of structure and texture, clean estimates.
    fn parts(pair: &Pair) -> [Vec<f32>; 6] {
        let Pair {
            structure,
            texture,
            clean,
        } = pair;
        [
            &structure.stepped.mean,
            &structure.stepped.noise,
            &structure.clean,
            &texture.mean,
            &texture.noise,
            clean,
        ]
        .map(|part| host_values(part.clone()))
    }

    fn judge_one(
        better: Better,
        rejected: Rejected,
        new: f32,
        old: f32,
        may_stop: bool,
    ) -> Verdict {
        judge(better, rejected, &[new], &[old], &[true], may_stop)[0]
    }

    #[test]
    fn resampling_keeps_the_better_pair() {
        // Two challengers for each of two pictures; the second of the first picture is better.
        let (old, new) = (pair(&[1.0, 1.0]), pair(&[2.0, 2.0]));
        for (better, scores, kept) in [
            (Better::Higher, [0.7, 0.3], [2.0, 1.0]),
            (Better::Lower, [0.7, 0.3], [1.0, 2.0]),
            (Better::Newest, [0.7, 0.3], [2.0, 2.0]),
        ] {
            let verdicts = judge(
                better,
                Rejected::Dropped,
                &scores,
                &[0.5, 0.5],
                &[true, true],
                true,
            );
            let settled = old.settle(&new, &verdicts, Rejected::Dropped);
            assert_eq!(parts(&settled), parts(&pair(&kept)), "{better:?}");
        }
    }

    #[test]
    fn an_equal_score_does_not_win() {
        for better in [Better::Higher, Better::Lower] {
            assert!(!better.wins(0.5, 0.5), "{better:?}");
        }
        assert!(Better::Newest.wins(0.5, 0.5));
    }

    #[test]
    fn a_score_that_is_not_a_number_never_wins_and_never_keeps_a_number_from_winning() {
        for better in [Better::Higher, Better::Lower] {
            assert!(!better.wins(NAN, 0.5) && !better.wins(NAN, f32::NEG_INFINITY));
            assert!(better.wins(0.5, NAN) && better.wins(f32::INFINITY, NAN));
            assert!(!better.wins(NAN, NAN));
        }
    }

    #[test]
    fn the_newest_pair_stays_whatever_the_scores() {
        for (new, old) in [(0.1, 0.9), (0.9, 0.1), (NAN, 0.5), (0.5, NAN)] {
            let verdict = judge_one(Better::Newest, Rejected::Averaged, new, old, true);
            assert_eq!(verdict, Verdict::Accepted);
        }
    }

    #[test]
    fn a_lost_round_ends_resampling_from_u_min_on_and_not_before() {
        for rejected in [
            Rejected::Dropped,
            Rejected::Averaged,
            Rejected::AveragedRescaled,
        ] {
            let lost = |may_stop| judge_one(Better::Higher, rejected, 0.1, 0.2, may_stop);
            assert_eq!(lost(true), Verdict::Stopped);
            let before = match rejected {
                Rejected::Dropped => Verdict::Dropped,
                _ => Verdict::Averaged,
            };
            assert_eq!(lost(false), before);
            let won = judge_one(Better::Higher, rejected, 0.2, 0.1, true);
            assert_eq!(won, Verdict::Accepted);
        }
    }

    #[test]
    fn a_picture_that_has_stopped_stays_stopped() {
        let verdicts = judge(
            Better::Newest,
            Rejected::Dropped,
            &[9.0, 9.0],
            &[0.0, 0.0],
            &[false, true],
            false,
        );
        assert_eq!(verdicts, [Verdict::Stopped, Verdict::Accepted]);
    }

    #[test]
    fn a_dropped_pair_leaves_no_trace_even_if_it_is_not_a_number() {
        let (old, spoilt) = (pair(&[1.0, -2.0, 3.0]), pair(&[NAN, f32::INFINITY, NAN]));
        let verdicts = [Verdict::Dropped, Verdict::Stopped, Verdict::Stopped];
        let settled = old.settle(&spoilt, &verdicts, Rejected::Dropped);
        assert_eq!(parts(&settled), parts(&old));
        // The same for a pair that could not be scored where losers are averaged in.
        let verdict = judge_one(Better::Higher, Rejected::Averaged, NAN, 0.5, false);
        assert_eq!(verdict, Verdict::Dropped);
    }

    #[test]
    fn an_accepted_pair_replaces_one_that_is_not_a_number() {
        let settled = pair(&[NAN]).settle(&pair(&[2.0]), &[Verdict::Accepted], Rejected::Averaged);
        assert_eq!(parts(&settled), parts(&pair(&[2.0])));
    }

    #[test]
    fn an_averaged_pair_is_the_mean_of_both_and_other_pictures_are_as_they_were() {
        let (old, new) = (pair(&[1.0, 1.0, 1.0]), pair(&[3.0, 3.0, NAN]));
        let verdicts = [Verdict::Averaged, Verdict::Accepted, Verdict::Stopped];
        let settled = old.settle(&new, &verdicts, Rejected::Averaged);
        assert_eq!(parts(&settled), parts(&pair(&[2.0, 3.0, 1.0])));
    }

    /// The mean of two independent draws of variance v has the variance v/2; √2 times it has v.
    #[test]
    fn a_rescaled_average_keeps_the_variance_of_its_noise() {
        let (old, new) = (pair(&[1.0, 1.0]), pair(&[3.0, 3.0]));
        let verdicts = [Verdict::Averaged, Verdict::Dropped];
        let settled = parts(&old.settle(&new, &verdicts, Rejected::AveragedRescaled));
        let plain = parts(&pair(&[2.0, 1.0]));
        let root = std::f32::consts::SQRT_2;
        for (part, (settled, plain)) in settled.iter().zip(&plain).enumerate() {
            let is_noise = part == 1 || part == 4;
            let factor = if is_noise { root } else { 1.0 };
            assert!((settled[0] - factor * plain[0]).abs() < 1e-6, "part {part}");
            assert_eq!(settled[1], plain[1], "part {part}");
        }
    }

    #[test]
    fn the_current_incumbent_is_the_pair_at_hand_and_the_first_stays() {
        let verdicts = [
            Verdict::Accepted,
            Verdict::Dropped,
            Verdict::Stopped,
            Verdict::Averaged,
        ];
        let scores = [0.9, 0.8, 0.7, 0.6];
        for (incumbent, expected) in [
            (Incumbent::Current, [0.9, 0.2, 0.3, 0.4]),
            (Incumbent::First, [0.1, 0.2, 0.3, 0.4]),
        ] {
            let mut held = [0.1, 0.2, 0.3, 0.4];
            incumbent.follow(&mut held, &scores, &verdicts);
            assert_eq!(held, expected, "{incumbent:?}");
        }
    }

    #[test]
    fn only_an_average_that_others_will_be_compared_with_is_scored_anew() {
        let averaged = [Verdict::Accepted, Verdict::Averaged];
        assert!(Incumbent::Current.must_be_scored(&averaged));
        assert!(!Incumbent::First.must_be_scored(&averaged));
        assert!(!Incumbent::Current.must_be_scored(&[Verdict::Accepted, Verdict::Dropped]));
    }

    #[test]
    fn the_discriminator_sees_the_whole_texture_or_the_known_region() {
        let texture = states(&[2.0, 3.0]);
        let mask = states(&[1.0, 0.0]);
        let seen = |view: DiscriminatorView| host_values(view.of(texture.clone(), &mask));
        assert_eq!(seen(DiscriminatorView::Whole), [2.0, 3.0]);
        assert_eq!(seen(DiscriminatorView::Known), [2.0, 0.0]);
    }
}
