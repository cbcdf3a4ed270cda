//! Both samplers against runs of a second implementation, one for each rule and switch: final
//! states, every score, every decision.
//!
//! The runs are recorded in `strdiffusion-testing/recorded/sampling` in f64 (its README says how);
//! each differs from the default's, so that a rule that is not followed shows.

use std::ops::ControlFlow;

use serde_json::Value;
use strdiffusion::Device;
use strdiffusion::conditions::Conditions;
use strdiffusion::model::{Checkpoints, ImportSettings, Model, ModelConfig};
use strdiffusion::sampling::{self, Event, Sampler};
use strdiffusion::sde::SdeConfig;
use strdiffusion::weights::host_values;
use strdiffusion_testing::{FormulaNoise, Recording, recorded, settings_of};

/// Of the largest value: what f32 may lose in a run.
const STATE_TOLERANCE: f64 = 2e-5;
/// Scores that were compared lie more than 2e-6 apart.
const SCORE_TOLERANCE: f64 = 1e-6;

fn model(steps: usize, prediction: &Value) -> Model {
    let file = |kind: &str| recorded().join(format!("nets/{kind}_tiny.pth"));
    let checkpoints = Checkpoints {
        texture: file("texture"),
        structure: file("structure"),
        discriminator: file("discriminator"),
    };
    let settings = ImportSettings {
        sde: SdeConfig {
            steps,
            ..SdeConfig::default()
        },
        ..ImportSettings::default()
    };
    let model = Model::import(&checkpoints, &settings, &Device::flex()).unwrap();
    let config = ModelConfig {
        prediction: serde_json::from_value(prediction.clone()).unwrap(),
        ..model.config().clone()
    };
    model.with_config(config).unwrap()
}

fn replay(run: &str) {
    let folder = recorded().join("sampling");
    let arrays = Recording::open(&folder.join("runs.safetensors")).unwrap();
    let all = settings_of(&folder.join("runs.json")).unwrap();
    let settings = &all[run];
    let steps = settings["steps"].as_u64().expect("a recorded run") as usize;
    let model = model(steps, &settings["prediction"]);
    let sampler: Sampler = serde_json::from_value(settings["sampler"].clone()).unwrap();

    let given = |name: &str| arrays.tensor(name, model.device()).unwrap();
    let mask = given("mask");
    let conditions = Conditions {
        texture: given("image") * mask.clone(),
        gray: given("gray") * mask.clone(),
        edges: given("edges"),
        texture_context: None,
        structure_context: None,
        mask,
    };
    let mut noise = FormulaNoise::new(settings["seed"].as_u64().unwrap());
    let (mut scores, mut verdicts) = (vec![], vec![]);
    let sampled = sampling::sample(&model, &conditions, &sampler, &mut noise, &mut |event| {
        match event {
            Event::Scored {
                t,
                round,
                scores: values,
            } => scores.push((*t, *round, f64::from(values[0]))),
            Event::Resampled {
                t, round, verdict, ..
            } => {
                let verdict = serde_json::to_value(verdict).unwrap();
                verdicts.push(serde_json::json!([t, round, verdict]));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })
    .unwrap();

    assert_eq!(Value::from(verdicts), settings["verdicts"], "{run}");
    let wanted: Vec<(usize, usize, f64)> =
        serde_json::from_value(settings["scores"].clone()).unwrap();
    assert_eq!(scores.len(), wanted.len(), "{run}: scores");
    for (ours, wanted) in scores.iter().zip(&wanted) {
        assert_eq!((ours.0, ours.1), (wanted.0, wanted.1), "{run}");
        let apart = (ours.2 - wanted.2).abs();
        assert!(apart <= SCORE_TOLERANCE, "{run}: {ours:?} for {wanted:?}");
    }
    for (name, ours) in [
        ("texture", sampled.texture),
        ("structure", sampled.structure),
    ] {
        let wanted = &arrays.get(&format!("{run}.{name}")).unwrap().values;
        let ours = host_values(ours);
        assert_eq!(ours.len(), wanted.len());
        let largest = wanted.iter().fold(0f64, |max, v| max.max(v.abs()));
        let apart = ours
            .iter()
            .zip(wanted)
            .map(|(a, b)| (f64::from(*a) - b).abs())
            .fold(0.0, f64::max);
        println!(
            "{run}, {name}: off by {:.1e} of the largest",
            apart / largest
        );
        // Also where it is not a number.
        let near = apart <= STATE_TOLERANCE * largest && ours.iter().all(|v| v.is_finite());
        assert!(near, "{run}, {name}: {apart} of {largest}");
    }
}

/// One test for each recorded run, and one that none is left out.
macro_rules! runs {
    ($($promise:ident: $run:literal,)*) => {
        $(#[test] fn $promise() { replay($run); })*

        #[test]
        fn every_recorded_run_has_a_test() {
            let all = settings_of(&recorded().join("sampling/runs.json")).unwrap();
            let mut recorded: Vec<&str> =
                all.as_object().unwrap().keys().map(String::as_str).collect();
            let mut tested = vec![$($run),*];
            recorded.sort_unstable();
            tested.sort_unstable();
            assert_eq!(recorded, tested);
        }
    };
}

runs! {
    the_default_is_what_the_method_means: "default",
    a_network_may_predict_noise: "noise-prediction",
    resampling_can_be_left_out: "no-resampling",
    the_reference_mode_is_the_references: "reference",
    the_newest_pair_stays_in_the_reference_mode_too: "reference-newest",
    the_last_step_may_add_noise: "last_step_noise=true",
    the_known_structure_may_be_drawn_one_level_ahead: "known_structure=one-ahead",
    noising_back_may_use_the_theta_of_the_source: "forward_theta=of-source",
    new_pairs_may_be_compared_with_the_first_score: "incumbent=first",
    the_lower_score_may_win: "better=lower",
    the_newest_pair_may_stay_unscored: "better=newest",
    losers_may_be_averaged_in: "rejected=averaged",
    losers_may_be_averaged_in_with_their_variance_kept: "rejected=averaged-rescaled",
    the_discriminator_may_see_only_what_is_known: "discriminator_view=known",
    the_late_guide_may_be_the_mean_of_the_channels: "late_guide=channel-mean",
    the_known_texture_may_be_pasted_before_each_step: "composite_texture=true",
    the_guide_may_be_stretched_over_the_padding: "guide_alignment=stretched",
    euler_steps_are_first_order_without_noise: "euler-0-rounds",
    posterior_steps_are_first_order_with_noise: "posterior-0-rounds",
    multistep_is_second_order_without_noise: "multistep-0-rounds",
    stochastic_multistep_is_second_order_with_noise: "multistep-stochastic-0-rounds",
    euler_keeps_the_better_of_resampled_pairs: "euler-3-rounds",
    posterior_steps_keep_the_better_of_resampled_pairs: "posterior-3-rounds",
    multistep_keeps_the_better_of_resampled_pairs: "multistep-3-rounds",
    stochastic_multistep_keeps_the_better_of_resampled_pairs: "multistep-stochastic-3-rounds",
}
