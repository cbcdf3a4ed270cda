//! Settings of a training run, given at the command.

use crate::support::*;

#[test]
fn settings_that_are_given_at_the_command_are_the_runs_own() {
    let bench = Bench::empty();
    std::fs::create_dir(bench.path("photos")).unwrap();
    for i in 0..3 {
        photo(40 + i, 40)
            .save(bench.path(&format!("photos/{i}.png")))
            .unwrap();
    }
    let train = "train --images photos --out run";
    let small = "--set networks.width=4 --set networks.depth=1 --set data.resolution=16 \
                 --set run.batch=2 --set validation.every=0 --set structure.learning_rate=1e-4 \
                 --set run.loss.distance=squared --stage structure --steps 1";
    for (wrong, hints) in [
        ("run.bach=2", ["run.bach", "unknown field"]),
        ("run.batch=two", ["run.batch", "invalid type"]),
        ("run.batch=0", ["run.batch", "at least 1"]),
    ] {
        bench.run_refused(&format!("{train} {small} --set {wrong}"), &hints);
    }
    bench.run_well(&format!("{train} {small}"));
    let config = std::fs::read_to_string(bench.path("run/config.toml")).unwrap();
    for line in [
        "width = 4",
        "batch = 2",
        "learning_rate = 0.0001",
        "distance = \"squared\"",
    ] {
        assert!(config.contains(line), "{line}\n{config}");
    }
    // They are kept, and a run that goes on takes no others.
    bench.run_well(&format!("{train} --resume --stage structure --steps 2"));
    for wrong in ["--set run.batch", "--resume --set run.batch=4"] {
        let output = bench.run(&format!("{train} {wrong}"));
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}
