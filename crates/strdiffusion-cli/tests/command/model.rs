//! Where the model comes from.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::{Bench, mask, photo, text};

/// The command without a model in its environment.
fn command(bench: &Bench, arguments: &str) -> Command {
    let mut command = bench.command(arguments);
    command.env_remove("STRDIFFUSION_MODEL");
    command
}

fn run_well(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn default_model() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/default")
}

#[test]
fn the_model_inside_works_in_a_folder_with_nothing_else_and_fills_as_its_folder_does() {
    let bench = Bench::empty();
    photo(24, 20).save(bench.path("photo.png")).unwrap();
    mask(24, 20).save(bench.path("mask.png")).unwrap();
    run_well(command(
        &bench,
        "inpaint photo.png -m mask.png -o inside.png",
    ));
    let mut named = command(&bench, "inpaint photo.png -m mask.png -o named.png --model");
    named.arg(default_model());
    run_well(named);
    let [inside, named] = ["inside.png", "named.png"].map(|name| std::fs::read(bench.path(name)));
    assert!(inside.unwrap() == named.unwrap());
}

#[test]
fn info_names_where_the_model_comes_from() {
    let bench = Bench::new();
    let told = |command| -> Value { serde_json::from_str(&run_well(command)).unwrap() };
    let inside = told(command(&bench, "info --json"));
    let mut named = command(&bench, "info --json");
    named.arg(default_model());
    let named = told(named);
    assert_eq!(inside["model"], "bundled model");
    assert_eq!(named["model"], default_model().display().to_string());
    for key in ["config", "parameters", "bytes"] {
        assert_eq!(inside[key], named[key], "{key}");
    }
    assert!(run_well(command(&bench, "info")).starts_with("bundled model\n"));
    assert_eq!(told(command(&bench, "info model --json"))["model"], "model");
    // A name goes before the variable, and an empty variable is none.
    let mut both = command(&bench, "info model --json");
    both.env("STRDIFFUSION_MODEL", "nowhere");
    assert_eq!(told(both)["model"], "model");
    let mut empty = command(&bench, "info --json");
    empty.env("STRDIFFUSION_MODEL", "");
    assert_eq!(told(empty)["model"], "bundled model");
}

#[test]
fn bench_exports_all_that_the_networks_of_a_model_read() {
    let bench = Bench::empty();
    let mut export = command(
        &bench,
        "bench --export out --size 32 --repeat 1 --only texture",
    );
    export.arg("--model").arg(default_model());
    run_well(export);
    let case = bench.path("out/texture-case.safetensors");
    let tensors = strdiffusion::weights::read_safetensors(&case).unwrap();
    let shape = |name: &str| tensors[name].shape.clone();
    assert_eq!(shape("context"), [1, 2, 32, 32]);
    assert_eq!(shape("guide"), [1, 1, 32, 32]);
    assert_eq!(shape("output"), [3 * 32 * 32]);
}

#[test]
fn bench_holds_other_arithmetic_against_the_plain() {
    let bench = Bench::empty();
    let told = |options: &str| -> Value {
        let mut timed = command(&bench, "bench --json --size 32 --repeat 1 --only structure");
        timed.args(options.split_whitespace());
        timed.arg("--model").arg(default_model());
        serde_json::from_str(&run_well(timed)).unwrap()
    };
    assert_eq!(told("")["structure"]["deviation"], Value::Null);
    // The rounding of two ways to convolve, about 1e-6 each, over the network's layers.
    let deviation = told("--precise")["structure"]["deviation"].as_f64();
    let deviation = deviation.expect("a number");
    assert!(deviation > 0.0 && deviation < 1e-4, "{deviation}");
}

#[test]
fn info_prints_what_the_card_tells_the_hub() {
    let bench = Bench::new();
    let inside: Value = serde_json::from_str(&run_well(command(&bench, "info --json"))).unwrap();
    assert_eq!(inside["card"]["license"], "cc0-1.0");
    assert_eq!(inside["card"]["library_name"], "strdiffusion");
    let shown = run_well(command(&bench, "info"));
    assert!(shown.contains("\non the hub\n"), "{shown}");
    assert!(shown.contains("inpainting, "), "{shown}");

    let none: Value = serde_json::from_str(&bench.run_well("info --json")).unwrap();
    assert_eq!(none["card"], Value::Null);
    std::fs::write(bench.path("model/README.md"), "---\ntags: [a\n---\n").unwrap();
    bench.run_refused("info", &["README.md", "YAML"]);
}

#[test]
fn a_model_cannot_forge_what_info_prints() {
    let bench = Bench::new();
    let card = "---\nlicense: \"\\e[31mred\\nsampler: forged\"\n\"k\\e[2J\": x\n---\n";
    std::fs::write(bench.path("model/README.md"), card).unwrap();
    let file = bench.path("model/config.json");
    let config = std::fs::read_to_string(&file).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["licence"] = "free\u{1b}[2J\nsource: forged".into();
    std::fs::write(&file, config.to_string()).unwrap();
    let told = run_well(command(&bench, "info model"));
    assert!(!told.contains('\u{1b}'), "{told:?}");
    let is_forged = |line: &str| line.starts_with("sampler: ") || line.starts_with("source: ");
    assert!(!told.lines().any(is_forged), "{told}");
    assert!(told.contains("red") && told.contains("free"), "{told}");
}
