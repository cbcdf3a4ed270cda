//! Evaluating models and finished pictures, and training from the command line.

use serde_json::Value;

use crate::support::*;

/// The tiny model, and three photographs of 40×40.
fn bench_with_photos() -> Bench {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("photos")).unwrap();
    for name in ["a", "b", "c"] {
        let file = bench.path("photos").join(format!("{name}.png"));
        photo(40, 40).save(file).unwrap();
    }
    bench
}

fn results(bench: &Bench, report: &str) -> Value {
    let text = std::fs::read_to_string(bench.path(report).join("results.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

const RATIO: &str = "--images photos --ratio 0.2-0.4 --metrics psnr,ssim,lpips";

#[test]
fn a_report_has_every_picture_and_says_what_could_not_be_computed() {
    let bench = bench_with_photos();
    bench.run_well(&format!(
        "eval {RATIO} --report report --steps 2 --weights none"
    ));
    let rows = std::fs::read_to_string(bench.path("report").join("results.csv")).unwrap();
    assert_eq!(rows.lines().count(), 1 + 3, "{rows}");
    let html = std::fs::read_to_string(bench.path("report").join("report.html")).unwrap();
    assert!(html.contains("not computed: weights missing"));
    assert!(!html.contains("src=\"http"), "the report is one file");
    assert!(results(&bench, "report").is_object());
}

#[test]
fn an_evaluation_that_is_there_is_not_done_again_and_not_mixed_with_other_settings() {
    let bench = bench_with_photos();
    let line = format!("eval {RATIO} --report report --steps 2 --weights none");
    bench.run_well(&line);
    let rows = || std::fs::read_to_string(bench.path("report").join("results.csv")).unwrap();
    let first = rows();
    bench.run_well(&line); // times are in the rows: a second evaluation would change them
    assert_eq!(rows(), first);
    bench.run_refused(&line.replace("--steps 2", "--steps 3"), &["report"]);
}

#[test]
fn finished_pictures_leave_nothing_to_sample() {
    let bench = bench_with_photos();
    for more in [
        "--steps 2",
        "--sampler paper",
        "--no-resampling",
        "--half f16",
    ] {
        let line = format!("eval {RATIO} --report report --results photos {more}");
        let output = bench.run(&line);
        assert_eq!(output.status.code(), Some(2), "{more}");
        assert!(text(&output.stderr).contains("--results"), "{more}");
    }
}

#[test]
fn a_run_without_photographs_is_refused() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("photos")).unwrap();
    bench.run_refused(
        "train --images photos --out run",
        &["photos", "no pictures"],
    );
    bench.run_refused("train --images nowhere --out run", &["nowhere"]);
    bench.run_refused(
        "train --images photos --out run --resume",
        &["no run to go on with"],
    );
}
