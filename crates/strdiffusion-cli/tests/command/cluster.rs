//! The files for schedulers in `examples/cluster`, run with the variables that those would set.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::*;

const SHARDS: usize = 3;

fn example(name: &str) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/cluster");
    PathBuf::from(root).join(name)
}

/// A list of six photographs, and as many files that it names.
fn with_list() -> Bench {
    let bench = Bench::with_photo();
    let rows: String = (0..6)
        .map(|i| format!("photo.png,mask.png,filled/{i}.png\n"))
        .collect();
    std::fs::write(
        bench.path("pairs.csv"),
        format!("photo,mask,output\n{rows}"),
    )
    .unwrap();
    bench
}

/// Runs a program of the system that finds the command in its path.
fn run(bench: &Bench, program: &mut Command) -> Output {
    let command = PathBuf::from(env!("CARGO_BIN_EXE_strdiffusion"));
    let path = std::env::var("PATH").unwrap();
    program
        .current_dir(bench.root())
        .env(
            "PATH",
            format!("{}:{path}", command.parent().unwrap().display()),
        )
        .env("STRDIFFUSION_MODEL", bench.path("model"))
        .output()
        .unwrap()
}

fn assert_all_are_filled(bench: &Bench) {
    assert_eq!(names_in(&bench.path("filled")).len(), 6);
    assert_eq!(objects(&bench.run_well("merge-results results")).len(), 6);
    assert_eq!(names_in(&bench.path("results")).len(), SHARDS);
}

#[cfg(unix)]
#[test]
fn a_slurm_array_fills_a_list() {
    let bench = with_list();
    let task = |index: usize, count: usize| {
        let mut program = Command::new("bash");
        program
            .arg(example("slurm_fill.sh"))
            .args(["pairs.csv", "results"]);
        for (name, value) in [
            ("ID", index),
            ("COUNT", count),
            ("MAX", SHARDS - 1),
            ("MIN", 0),
        ] {
            program.env(format!("SLURM_ARRAY_TASK_{name}"), value.to_string());
        }
        run(&bench, &mut program)
    };
    // A part of the array would have other shards.
    let part = task(2, 1);
    assert_eq!(part.status.code(), Some(2));
    assert!(text(&part.stderr).contains("--array=0-2"));
    for index in 0..SHARDS {
        let output = task(index, SHARDS);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_all_are_filled(&bench);
}

#[cfg(unix)]
#[test]
fn a_kubernetes_indexed_job_fills_a_list() {
    let bench = with_list();
    let job = std::fs::read_to_string(example("kubernetes_fill.yaml")).unwrap();
    let lines = job.lines().map(str::trim);
    let folded = lines.skip_while(|line| *line != "- >-").skip(1);
    let command: Vec<&str> = folded.take_while(|line| !line.ends_with(':')).collect();
    assert!(job.contains("completions: 64") && job.contains("value: \"64\""));
    for index in 0..SHARDS {
        let mut program = Command::new("/bin/sh");
        program.args(["-c", &command.join(" ")]);
        program.env("JOB_COMPLETION_INDEX", index.to_string());
        program
            .env("SHARDS", SHARDS.to_string())
            .env("THREADS", "1");
        let output = run(&bench, &mut program);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_all_are_filled(&bench);
}
