//! What a user relies on when an evaluation is paired, interrupted, continued and reported.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use strdiffusion::evaluation::*;
use strdiffusion::metrics::{Planes, gradient_ratios, psnr, sliced_wasserstein};
use strdiffusion::picture::{HolePolarity, Mask};

/// A folder of six drawn pictures and one of masks, in a temporary place.
struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new(mask_name: impl Fn(usize) -> String) -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["images", "masks"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
        }
        let place = Self { root };
        for i in 0..6 {
            let image = image::RgbImage::from_fn(32, 24, |x, y| {
                image::Rgb([(x * 8) as u8, (y * 10) as u8, (40 * i) as u8])
            });
            image
                .save(place.images().join(format!("photo{i}.png")))
                .unwrap();
            // The hole is the left part: (i + 1) / 10 of the picture, more or less.
            let mask = image::GrayImage::from_fn(32, 24, |x, _| {
                image::Luma([if x * 10 < 32 * (i as u32 + 1) { 255 } else { 0 }])
            });
            mask.save(place.masks().join(mask_name(i))).unwrap();
        }
        place
    }

    fn with_matching_names() -> Self {
        Self::new(|i| format!("photo{i}.png"))
    }

    fn images(&self) -> PathBuf {
        self.root.path().join("images")
    }

    fn masks(&self) -> PathBuf {
        self.root.path().join("masks")
    }

    fn run(&self) -> PathBuf {
        self.root.path().join("run")
    }

    fn pair(&self, options: &PairingOptions) -> Result<Pairing, EvaluationError> {
        Pairing::from_folders(&self.images(), &self.masks(), options)
    }
}

fn settings(method: &str) -> Settings {
    Settings {
        method: method.to_owned(),
        method_settings: BTreeMap::new(),
        device: "test".to_owned(),
        images: "images".to_owned(),
        masks: "masks".to_owned(),
        seed: 3,
        limit: None,
        size: None,
        buckets: Buckets::default(),
        metrics: parse_metrics("psnr,ssim,lpips").unwrap(),
    }
}

/// Fills holes with grey and counts how often it was asked.
#[derive(Default)]
struct Grey {
    calls: Vec<String>,
}

impl Fill for Grey {
    fn fill(&mut self, request: &FillRequest<'_>) -> Result<Filled, FillError> {
        self.calls.push(request.id.to_owned());
        let (width, height) = (request.masked.width(), request.masked.height());
        let mut rgb = request.masked.rgb8().to_vec();
        for (pixel, keep) in rgb.chunks_exact_mut(3).zip(request.mask.keep()) {
            if *keep == 0 {
                assert_eq!(pixel, [0, 0, 0], "the hole's truth must not be seen");
                pixel.fill(128);
            }
        }
        Ok(Filled {
            picture: Picture::from_rgb8(rgb, width, height).unwrap(),
            seconds: Some(0.5),
            network_evaluations: Some(20),
        })
    }
}

fn run(
    folder: &mut RunFolder,
    pairing: &Pairing,
    fill: &mut dyn Fill,
    stop_after: usize,
) -> Outcome {
    let mut scorer = Scorer {
        metrics: settings("").metrics,
        lpips: None,
    };
    let mut no_masks = |_, _, _| Err("masks come from files".to_owned());
    let mut stop = |p: &Progress<'_>| {
        if p.done >= stop_after {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let settings = settings("");
    evaluate(
        folder,
        &settings,
        pairing,
        fill,
        &mut scorer,
        &mut no_masks,
        &mut stop,
    )
    .unwrap()
}

fn report(folder: &RunFolder, pairing: &Pairing, outcome: &Outcome, settings: &Settings) -> String {
    let input = ReportInput {
        settings,
        pairing,
        rows: &outcome.rows,
        failures: &outcome.failures,
        fid: FidReport::Computed {
            value: 12.5,
            n: 6,
            resize_filter: "bilinear".to_owned(),
            weights_sha256: "abc".to_owned(),
        },
        not_computed: BTreeMap::from([(Metric::Lpips, "weights missing".to_owned())]),
        peak_memory_bytes: Some(1 << 30),
        gallery_bytes: ReportInput::GALLERY_BYTES,
    };
    write_report(folder, &input).unwrap();
    std::fs::read_to_string(folder.path().join("report.html")).unwrap()
}

#[test]
fn an_image_meets_the_mask_of_its_name() {
    for name in ["photo{}.png", "photo{}_mask.png"] {
        let place = Place::new(|i| name.replace("{}", &i.to_string()));
        let pairing = place.pair(&PairingOptions::default()).unwrap();
        assert_eq!(pairing.rule, PairingRule::SameName);
        for (i, pair) in pairing.pairs.iter().enumerate() {
            assert_eq!(pair.image, format!("photo{i}.png"));
            assert_eq!(
                pair.mask,
                MaskSource::File(name.replace("{}", &i.to_string()))
            );
        }
    }
}

#[test]
fn other_names_are_paired_by_the_seed_and_the_pairs_are_written_first() {
    let place = Place::new(|i| format!("hole{i}.png"));
    let options = |seed| PairingOptions {
        seed,
        ..PairingOptions::default()
    };
    let pairing = place.pair(&options(3)).unwrap();
    assert_eq!(pairing.rule, PairingRule::Seeded(3));
    assert_eq!(pairing, place.pair(&options(3)).unwrap());
    let masks = |seed| -> Vec<MaskSource> {
        place
            .pair(&options(seed))
            .unwrap()
            .pairs
            .into_iter()
            .map(|p| p.mask)
            .collect()
    };
    assert!(
        (4..9).any(|seed| masks(seed) != masks(3)),
        "the seed decides the order"
    );
    let _folder = RunFolder::open(&place.run(), &settings("a"), &pairing).unwrap();
    let written = std::fs::read_to_string(place.run().join("pairs.csv")).unwrap();
    assert!(written.starts_with("id,image,mask,seed\nphoto0,photo0.png,hole"));
    assert_eq!(written.lines().count(), 7);
}

#[test]
fn a_picture_keeps_its_seed_when_others_are_added() {
    let place = Place::with_matching_names();
    let all = place.pair(&PairingOptions::default()).unwrap();
    std::fs::remove_file(place.images().join("photo0.png")).unwrap();
    let fewer = place.pair(&PairingOptions::default()).unwrap();
    assert_eq!(all.pairs[1..], fewer.pairs);
}

#[test]
fn a_mask_that_is_missing_for_some_images_is_an_error() {
    let place = Place::with_matching_names();
    std::fs::remove_file(place.masks().join("photo4.png")).unwrap();
    let error = place
        .pair(&PairingOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("1 of 6 images") && error.contains("photo4.png"),
        "{error}"
    );
}

#[test]
fn every_image_can_meet_every_bucket() {
    let place = Place::with_matching_names();
    let options = PairingOptions {
        per_bucket: Some("10-25,25-50".parse().unwrap()),
        ..PairingOptions::default()
    };
    let pairing = place.pair(&options).unwrap();
    assert_eq!(pairing.pairs.len(), 12);
    assert_eq!(pairing.pairs[1].id, "photo0~25-50");
    let none = PairingOptions {
        per_bucket: Some("80-90".parse().unwrap()),
        ..PairingOptions::default()
    };
    assert!(place.pair(&none).unwrap_err().to_string().contains("80-90"));
}

#[test]
fn an_interrupted_run_continues_without_filling_again() {
    let place = Place::with_matching_names();
    let pairing = place.pair(&PairingOptions::default()).unwrap();
    let mut grey = Grey::default();
    let mut folder = RunFolder::open(&place.run(), &settings(""), &pairing).unwrap();
    let outcome = run(&mut folder, &pairing, &mut grey, 3);
    assert!(outcome.stopped && outcome.rows.len() == 3);
    drop(folder);
    // A crash in the middle of a line, and a result that was changed since.
    let log = place.run().join("rows.jsonl");
    let mut text = std::fs::read(&log).unwrap();
    text.extend_from_slice(b"{\"id\":\"photo3\",\"ima");
    std::fs::write(&log, text).unwrap();
    std::fs::write(place.run().join("results/photo1.png"), b"changed").unwrap();

    let mut folder = RunFolder::open(&place.run(), &settings(""), &pairing).unwrap();
    assert!(folder.dropped_partial_row());
    grey.calls.clear();
    let outcome = run(&mut folder, &pairing, &mut grey, usize::MAX);
    assert_eq!(grey.calls, ["photo1", "photo3", "photo4", "photo5"]);
    assert_eq!(
        (outcome.rows.len(), outcome.resumed, outcome.stopped),
        (6, 2, false)
    );

    // An uninterrupted run gives the same rows.
    let other = place.root.path().join("other");
    let mut other = RunFolder::open(&other, &settings(""), &pairing).unwrap();
    assert_eq!(
        run(&mut other, &pairing, &mut Grey::default(), usize::MAX).rows,
        outcome.rows
    );
}

#[test]
fn a_picture_mask_or_result_that_has_changed_is_scored_again() {
    let place = Place::with_matching_names();
    let pairing = place.pair(&PairingOptions::default()).unwrap();
    let fills = place.root.path().join("fills");
    std::fs::create_dir(&fills).unwrap();
    for i in 0..6 {
        let name = format!("photo{i}.png");
        std::fs::copy(place.images().join(&name), fills.join(&name)).unwrap();
    }
    let score = || {
        let mut fill = FinishedPictures::open(&fills).unwrap();
        let mut folder = RunFolder::open(&place.run(), &settings(""), &pairing).unwrap();
        run(&mut folder, &pairing, &mut fill, usize::MAX)
    };
    let first = score();
    assert_eq!((first.rows.len(), first.resumed), (6, 0));
    assert_eq!((score().rows, score().resumed), (first.rows.clone(), 6));

    std::fs::copy(fills.join("photo2.png"), fills.join("photo1.png")).unwrap();
    std::fs::copy(
        place.images().join("photo4.png"),
        place.images().join("photo3.png"),
    )
    .unwrap();
    std::fs::remove_file(fills.join("photo5.png")).unwrap();
    let last = score();
    assert_eq!(
        (last.rows.len(), last.resumed, last.failures.len()),
        (5, 3, 1)
    );
    for (i, (before, after)) in first.rows.iter().zip(&last.rows).enumerate() {
        assert_eq!(before.psnr != after.psnr, i == 1 || i == 3, "photo{i}");
    }
}

#[test]
fn other_settings_or_pairs_do_not_continue_a_run() {
    let place = Place::with_matching_names();
    let pairing = place.pair(&PairingOptions::default()).unwrap();
    drop(RunFolder::open(&place.run(), &settings("a"), &pairing).unwrap());
    let error = RunFolder::open(&place.run(), &settings("b"), &pairing).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("method: was \"a\", is \"b\""), "{text}");
    std::fs::remove_file(place.images().join("photo5.png")).unwrap();
    let fewer = place.pair(&PairingOptions::default()).unwrap();
    let error = RunFolder::open(&place.run(), &settings("a"), &fewer).unwrap_err();
    assert!(error.to_string().contains("pairs.csv"));
}

#[test]
fn what_a_killed_run_left_is_in_nobodys_way() {
    let place = Place::with_matching_names();
    let pairing = place.pair(&PairingOptions::default()).unwrap();
    std::fs::create_dir_all(place.run()).unwrap();
    // As files are named until they are whole.
    std::fs::write(place.run().join(".strdiffusion-a1b2c3.part"), "{").unwrap();
    RunFolder::open(&place.run(), &settings("a"), &pairing).unwrap();
}

#[test]
fn a_folder_with_other_files_is_not_touched() {
    let place = Place::with_matching_names();
    let pairing = place.pair(&PairingOptions::default()).unwrap();
    let error = RunFolder::open(&place.images(), &settings("a"), &pairing).unwrap_err();
    assert!(matches!(error, EvaluationError::Damaged { .. }), "{error}");
    assert!(!place.images().join("pairs.csv").exists());
}

#[test]
fn two_processes_do_not_write_one_run() {
    let place = Place::with_matching_names();
    let pairing = place.pair(&PairingOptions::default()).unwrap();
    let _first = RunFolder::open(&place.run(), &settings("a"), &pairing).unwrap();
    let second = RunFolder::open(&place.run(), &settings("a"), &pairing);
    assert!(matches!(second, Err(EvaluationError::Busy(_))));
}

#[test]
fn scores_are_those_of_the_written_pictures() {
    let place = Place::with_matching_names();
    let pairing = place.pair(&PairingOptions::default()).unwrap();
    let mut folder = RunFolder::open(&place.run(), &settings(""), &pairing).unwrap();
    let outcome = run(&mut folder, &pairing, &mut Grey::default(), usize::MAX);
    let row = &outcome.rows[2];
    let truth = Picture::open(&place.images().join("photo2.png"))
        .unwrap()
        .planar();
    let result = folder.result("photo2").unwrap().planar();
    let view = |data| Planes::new(data, 3, 24, 32).unwrap();
    let again = psnr(&view(&truth), &view(&result)).unwrap();
    assert!((row.psnr.unwrap() - again).abs() < 1e-12);
    // 10 of 32 columns are the hole.
    assert_eq!(row.hole_ratio, 10.0 / 32.0);
    assert_eq!(row.bucket.as_deref(), Some("30-40"));
    assert_eq!(
        (row.seconds, row.network_evaluations),
        (Some(0.5), Some(20))
    );
}

#[test]
fn finished_pictures_are_scored_and_missing_ones_are_listed() {
    let place = Place::with_matching_names();
    let pairing = place.pair(&PairingOptions::default()).unwrap();
    let results = place.root.path().join("finished");
    std::fs::create_dir(&results).unwrap();
    let copy = |from: &str, to: &str| {
        std::fs::copy(place.images().join(from), results.join(to)).unwrap();
    };
    copy("photo0.png", "photo0.png");
    copy("photo0.png", "photo1.png");
    let small = image::RgbImage::new(8, 8);
    small.save(results.join("photo2.png")).unwrap();
    std::fs::write(results.join("photo3.png"), b"no picture").unwrap();
    std::fs::write(results.join("timings.csv"), "id,seconds\nphoto0,1.25\n").unwrap();

    let mut finished = FinishedPictures::open(&results).unwrap();
    let mut folder = RunFolder::open(&place.run(), &settings(""), &pairing).unwrap();
    let outcome = run(&mut folder, &pairing, &mut finished, usize::MAX);
    let ids: Vec<&str> = outcome.rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["photo0", "photo1"]);
    assert_eq!(outcome.rows[0].psnr, Some(f64::INFINITY));
    assert_eq!(outcome.rows[0].seconds, Some(1.25));
    let failed: Vec<(&str, &str)> = outcome
        .failures
        .iter()
        .map(|f| (f.id.as_str(), f.reason.as_str()))
        .collect();
    assert_eq!(failed.len(), 4);
    assert!(failed[0].0 == "photo2" && failed[0].1.contains("8×8"));
    assert!(failed[1].0 == "photo3" && failed[1].1.contains("photo3.png"));
    assert!(failed[2].0 == "photo4" && failed[2].1.contains("no result named photo4"));

    // The infinite PSNR survives the files.
    let html = report(&folder, &pairing, &outcome, &settings(""));
    assert!(html.contains("4 of 6 pictures have no scores"));
    let csv = std::fs::read_to_string(place.run().join("results.csv")).unwrap();
    assert!(csv.lines().nth(1).unwrap().contains(",inf,"), "{csv}");
    let json = std::fs::read(place.run().join("results.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["rows"][0]["psnr"], "inf");
    assert_eq!(json["summary"]["overall"]["psnr"]["infinite"], 1);
    drop(folder);
    let again = RunFolder::open(&place.run(), &settings(""), &pairing).unwrap();
    assert_eq!(again.rows(&pairing), outcome.rows);
}

/// A stand-in for LPIPS: always 0.25.
struct Quarter;

impl PerceptualDistance for Quarter {
    fn distance(&mut self, _: &Picture, _: &Picture) -> Result<f64, String> {
        Ok(0.25)
    }
}

#[test]
fn lpips_is_added_later_without_filling_again() {
    let place = Place::with_matching_names();
    let pairing = place.pair(&PairingOptions::default()).unwrap();
    let mut folder = RunFolder::open(&place.run(), &settings(""), &pairing).unwrap();
    let before = run(&mut folder, &pairing, &mut Grey::default(), usize::MAX);
    let mut grey = Grey::default();
    let mut scorer = Scorer {
        metrics: settings("").metrics,
        lpips: Some(&mut Quarter),
    };
    let after = evaluate(
        &mut folder,
        &settings(""),
        &pairing,
        &mut grey,
        &mut scorer,
        &mut |_, _, _| Err(String::new()),
        &mut |_| ControlFlow::Continue(()),
    )
    .unwrap();
    assert!(grey.calls.is_empty());
    assert!(after.rows.iter().all(|row| row.lpips == Some(0.25)));
    assert_eq!(after.rows[0].psnr, before.rows[0].psnr);
}

fn settings_with(metrics: &str) -> Settings {
    Settings {
        metrics: parse_metrics(metrics).unwrap(),
        ..settings("")
    }
}

fn run_with(folder: &mut RunFolder, pairing: &Pairing, settings: &Settings) -> (Outcome, Grey) {
    let mut grey = Grey::default();
    let mut scorer = Scorer {
        metrics: settings.metrics.clone(),
        lpips: None,
    };
    let outcome = evaluate(
        folder,
        settings,
        pairing,
        &mut grey,
        &mut scorer,
        &mut |_, _, _| Err(String::new()),
        &mut |_| ControlFlow::Continue(()),
    );
    (outcome.unwrap(), grey)
}

#[test]
fn looks_in_the_hole_are_scored_and_reported() {
    let place = Place::with_matching_names();
    let pairing = place.pair(&PairingOptions::default()).unwrap();
    let settings = settings_with("psnr,swd,gradient");
    let mut folder = RunFolder::open(&place.run(), &settings, &pairing).unwrap();
    let (outcome, _) = run_with(&mut folder, &pairing, &settings);
    let row = &outcome.rows[3];
    let truth = Picture::open(&place.images().join("photo3.png")).unwrap();
    let (truth, result) = (truth.planar(), folder.result("photo3").unwrap().planar());
    let view = |data| Planes::new(data, 3, 24, 32).unwrap();
    let keep: Vec<f32> = (folder.mask("photo3").unwrap().keep().iter())
        .map(|&k| f32::from(k))
        .collect();
    let swd = sliced_wasserstein(&view(&truth), &view(&result), &keep);
    let swd = swd.unwrap().unwrap();
    // 24 pixels leave a band and a rest of 12.
    assert_eq!(swd.bands.len(), 1);
    let near = |got: Option<f64>, expected: f64| (got.unwrap() - expected).abs() < 1e-9;
    assert!(near(row.swd_0, swd.bands[0]) && near(row.swd_low, swd.low));
    assert!(near(row.swd, (swd.bands[0] + swd.low) / 2.0));
    assert_eq!((row.swd_1, row.swd_2, row.swd_3), (None, None, None));
    let gradient = gradient_ratios(&view(&truth), &view(&result), &keep);
    let gradient = gradient.unwrap().unwrap();
    assert!(near(row.gradient_energy, gradient.energy));
    assert!(near(row.gradient_spread, gradient.spread));

    let html = report(&folder, &pairing, &outcome, &settings);
    for told in [
        "SWD ↓",
        "finest details",
        "Gradient spread → 1",
        "can cost PSNR",
    ] {
        assert!(html.contains(told), "the report does not say: {told}");
    }
    assert!(!html.contains("details at 1/2"), "no picture has that band");
    let mut csv = csv::Reader::from_path(place.run().join("results.csv")).unwrap();
    let columns: Vec<String> = csv.headers().unwrap().iter().map(str::to_owned).collect();
    let at = |name: &str| columns.iter().position(|column| column == name).unwrap();
    let written = csv.records().nth(3).unwrap().unwrap();
    let number = |name: &str| written[at(name)].parse::<f64>().ok();
    assert_eq!(number("swd"), row.swd);
    assert_eq!(number("swd_1"), None);
    assert_eq!(number("gradient_spread"), row.gradient_spread);
    let json = std::fs::read(place.run().join("results.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["summary"]["overall"]["swd_0"]["n"], 6);
}

#[test]
fn an_evaluation_from_before_a_score_existed_goes_on_under_the_scores_it_has() {
    let place = Place::with_matching_names();
    let pairing = place.pair(&PairingOptions::default()).unwrap();
    let before = settings_with("psnr,ssim");
    let mut folder = RunFolder::open(&place.run(), &before, &pairing).unwrap();
    let (first, _) = run_with(&mut folder, &pairing, &before);
    drop(folder);
    // Rows as they were written then: without the later scores' names.
    let log = place.run().join("rows.jsonl");
    let old: String = std::fs::read_to_string(&log)
        .unwrap()
        .lines()
        .map(|line| {
            let mut row: serde_json::Map<_, _> = serde_json::from_str(line).unwrap();
            row.retain(|name, _| !name.starts_with("swd") && !name.starts_with("gradient"));
            serde_json::to_string(&row).unwrap() + "\n"
        })
        .collect();
    std::fs::write(&log, old).unwrap();

    let mut folder = RunFolder::open(&place.run(), &before, &pairing).unwrap();
    let (again, grey) = run_with(&mut folder, &pairing, &before);
    assert!(grey.calls.is_empty(), "nothing is filled again");
    assert_eq!(again.rows, first.rows);
    let html = report(&folder, &pairing, &again, &before);
    assert!(!html.contains("SWD"));
    drop(folder);
    // Tables that hold a score for some pictures only are refused, by name.
    let more = settings_with("psnr,ssim,swd");
    let error = RunFolder::open(&place.run(), &more, &pairing).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(r#"metrics: was ["psnr","ssim"], is ["psnr","ssim","swd"]"#),
        "{text}"
    );
}

#[test]
fn masks_can_be_generated_from_each_picture_s_seed() {
    let place = Place::with_matching_names();
    let options = PairingOptions::default();
    let pairing = Pairing::with_generated_masks(&place.images(), &options).unwrap();
    let inputs = place.root.path().join("inputs");
    let mut seeds = Vec::new();
    let mut make = |width: u32, height: u32, seed: u64| {
        seeds.push(seed);
        let keep = (0..width * height).map(|i| u8::from(i % 4 > 0)).collect();
        Mask::from_keep(width as usize, height as usize, keep).map_err(|e| e.to_string())
    };
    write_inputs(&inputs, &settings(""), &pairing, &mut make).unwrap();
    let expected: Vec<u64> = pairing.pairs.iter().map(|pair| pair.seed).collect();
    assert_eq!(seeds, expected);
    // White is the hole in files; the inputs are the pictures that are scored.
    let mask = Mask::open(inputs.join("masks/photo0.png"), HolePolarity::White).unwrap();
    assert_eq!(mask.hole_fraction(), 0.25);
    let input = Picture::open(&inputs.join("inputs/photo0.png")).unwrap();
    assert_eq!(
        input,
        Picture::open(&place.images().join("photo0.png")).unwrap()
    );
    // The evaluation of other methods' results may use the inputs' folder.
    RunFolder::open(&inputs, &settings(""), &pairing).unwrap();
}

#[test]
fn the_report_is_one_file_that_says_what_was_done() {
    let place = Place::with_matching_names();
    let pairing = place.pair(&PairingOptions::default()).unwrap();
    let settings = settings("<b>\"model\" & 'co'</b>");
    let mut folder = RunFolder::open(&place.run(), &settings, &pairing).unwrap();
    let outcome = run(&mut folder, &pairing, &mut Grey::default(), usize::MAX);
    let html = report(&folder, &pairing, &outcome, &settings);
    assert!(html.contains("&lt;b&gt;&quot;model&quot; &amp; &#39;co&#39;&lt;/b&gt;"));
    assert!(!html.contains("<b>\"model"));
    for outside in ["http://", "https://", "src=\"/", "@import", "url("] {
        assert!(
            !html.contains(outside),
            "the report reaches outside by {outside}"
        );
    }
    for told in [
        "not computed: weights missing",
        "needs at least 2048 images",
        "each image with the mask of the same file name",
        "1024 MiB",
        "10-20,20-30,30-40,40-50",
    ] {
        assert!(html.contains(told), "the report does not say: {told}");
    }
    // The worst picture stands first.
    let worst = outcome
        .rows
        .iter()
        .min_by(|a, b| a.psnr_hole.partial_cmp(&b.psnr_hole).unwrap());
    let first = html.find("<div class=\"caption\"><b>").unwrap();
    assert!(
        html[first..].starts_with(&format!("<div class=\"caption\"><b>{}<", worst.unwrap().id))
    );
    assert_eq!(html.matches("data:image/jpeg;base64,").count(), 4 * 6);
    let no_leftovers = |folder: &Path| {
        let names = std::fs::read_dir(folder).unwrap();
        names
            .flatten()
            .all(|entry| !entry.file_name().to_string_lossy().ends_with(".part"))
    };
    assert!(no_leftovers(&place.run()) && no_leftovers(&place.run().join("results")));
}
