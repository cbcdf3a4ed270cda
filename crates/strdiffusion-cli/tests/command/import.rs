//! Importing PyTorch checkpoints, and saying what a model is.

use std::path::PathBuf;

use serde_json::Value;
use strdiffusion::import::{discriminator_name, unet_name};
use strdiffusion::weights::{self, TensorMap};
use strdiffusion_testing::checkpoint::{self, Layout};

use crate::support::*;

/// The tiny model's tensors under the reference implementation's names.
fn checkpoints_of_tiny_model() -> [(&'static str, TensorMap); 3] {
    let model = tiny_model(|_| {});
    let rename = |tensors: TensorMap, name: &dyn Fn(&str) -> String| -> TensorMap {
        tensors
            .into_iter()
            .map(|(ours, tensor)| (name(&ours), tensor))
            .collect()
    };
    let texture = rename(weights::collect(model.texture()), &|n| unet_name(n, 2));
    let structure = rename(weights::collect(model.structure()), &|n| unet_name(n, 1));
    let discriminator = rename(weights::collect(model.discriminator()), &discriminator_name);
    [
        ("texture", texture),
        ("structure", structure),
        ("discriminator", discriminator),
    ]
}

fn write_checkpoints(bench: &Bench, prefix: &str, layout: Layout) {
    for (name, tensors) in checkpoints_of_tiny_model() {
        checkpoint::write(
            &bench.path(&format!("{name}.pth")),
            &tensors,
            prefix,
            layout,
        );
    }
}

const IMPORT: &str =
    "import --texture texture.pth --structure structure.pth --discriminator discriminator.pth";

#[test]
fn every_layout_of_a_checkpoint_gives_the_same_weights() {
    let bench = Bench::new();
    for (layout, prefix) in [
        (Layout::Zip, ""),
        (Layout::Zip, "module."),
        (Layout::Legacy, ""),
        (Layout::Legacy, "module."),
    ] {
        write_checkpoints(&bench, prefix, layout);
        bench.run_well(&format!("{IMPORT} -o made --force"));
        for network in ["texture", "structure", "discriminator"] {
            let read = |model: &str| {
                std::fs::read(bench.path(&format!("{model}/{network}.safetensors"))).unwrap()
            };
            assert!(
                read("made") == read("model"),
                "{network}, prefix {prefix:?}"
            );
        }
    }
}

#[test]
fn settings_reach_the_config_and_info_prints_them() {
    let bench = Bench::with_photo();
    write_checkpoints(&bench, "", Layout::Zip);
    bench.run_well(&format!(
        "{IMPORT} -o made --steps 6 --schedule linear --max-sigma 50 --eps 0.01 --u-max 2 --u-min 1 \
         --jump 3 --re 2 --canny-sigma 1.5 --resolution 64 --licence MIT --source here --reference \
         --half"
    ));
    let info: Value = serde_json::from_str(&bench.run_well("info made --json")).unwrap();
    let config = &info["config"];
    assert_eq!(config["texture"]["width"], 4);
    assert_eq!(config["texture"]["depth"], 2);
    assert_eq!(config["structure"]["depth"], 1);
    assert_eq!(config["discriminator"]["width"], 4);
    assert_eq!(config["sde"]["steps"], 6);
    assert_eq!(config["sde"]["schedule"], "linear");
    let max_sigma = config["sde"]["max_sigma"].as_f64().unwrap();
    assert!((max_sigma - 50.0 / 255.0).abs() < 1e-15, "{max_sigma}");
    assert_eq!(config["sde"]["eps"], 0.01);
    let resampling = serde_json::json!({"u_max": 2, "u_min": 1, "jump": 3, "re": 2});
    assert_eq!(config["sampling"]["resampling"], resampling);
    assert_eq!(config["sampling"]["switches"]["better"], "lower");
    assert_eq!(config["edges"]["canny"]["sigma"], 1.5);
    assert_eq!(config["training_resolution"], 64);
    assert_eq!(
        (&config["licence"], &config["source"]),
        (&"MIT".into(), &"here".into())
    );
    let full = std::fs::metadata(bench.path("model/texture.safetensors"))
        .unwrap()
        .len();
    let half = std::fs::metadata(bench.path("made/texture.safetensors"))
        .unwrap()
        .len();
    assert!(half < full * 3 / 4);

    let text = bench.run_well("info made");
    for part in [
        "nf 4, depth 2",
        "T = 6",
        "linear",
        "u_max 2",
        "64×64",
        "MIT",
        "here",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    bench.run_well("inpaint photo.png -m mask.png -o out.png --model made");
}

#[test]
fn a_model_that_is_there_is_replaced_only_by_force() {
    let bench = Bench::new();
    write_checkpoints(&bench, "", Layout::Zip);
    bench.run_refused(&format!("{IMPORT} -o model"), &["model", "--force"]);
    bench.run_well(&format!("{IMPORT} -o model --force"));
    std::fs::create_dir(bench.path("precious")).unwrap();
    std::fs::write(bench.path("precious/letter.txt"), "dear").unwrap();
    bench.run_refused(
        &format!("{IMPORT} -o precious --force"),
        &["precious", "no model folder"],
    );
    assert!(bench.path("precious/letter.txt").is_file());
}

#[test]
fn checkpoints_that_cannot_be_used_are_named() {
    let bench = Bench::new();
    write_checkpoints(&bench, "", Layout::Zip);
    let refused = |hints: &[&str]| bench.run_refused(&format!("{IMPORT} -o made"), hints);
    let good: Vec<_> = checkpoints_of_tiny_model().into_iter().collect();

    for (name, tensors) in &good {
        let file = format!("{name}.pth");
        let path = bench.path(&file);
        let whole = std::fs::read(&path).unwrap();
        for bad in [
            &b""[..],
            b"PK\x03\x04 and then nothing",
            &whole[..whole.len() / 2],
        ] {
            std::fs::write(&path, bad).unwrap();
            refused(&[&file]);
        }
        std::fs::remove_file(&path).unwrap();
        refused(&[&file]);

        let some_tensor = "final_conv.weight";
        let rewrite = |change: &dyn Fn(&mut TensorMap)| {
            let mut tensors = tensors.clone();
            change(&mut tensors);
            checkpoint::write(&path, &tensors, "module.", Layout::Zip);
        };
        rewrite(&|tensors| drop(tensors.remove("final_conv.bias")));
        refused(&[&file, "final_conv.bias is missing"]);
        rewrite(&|tensors| {
            let extra = tensors[some_tensor].clone();
            tensors.insert("extra.weight".into(), extra);
        });
        refused(&[&file, "extra.weight is not part of the network"]);
        rewrite(&|tensors| {
            let tensor = tensors.get_mut("final_conv.bias").unwrap();
            tensor.shape.push(1);
        });
        refused(&[&file, "final_conv.bias has shape"]);
        rewrite(&|tensors| tensors.get_mut(some_tensor).unwrap().values[0] = f32::INFINITY);
        refused(&[&file, "final_conv.weight holds inf"]);
        std::fs::write(&path, &whole).unwrap();
    }
    std::fs::write(bench.path("texture.pth"), "").unwrap();
    std::fs::create_dir(bench.path("folder.pth")).unwrap();
    let swapped = "import --texture folder.pth --structure structure.pth --discriminator \
                   discriminator.pth -o made";
    bench.run_refused(swapped, &["folder.pth"]);
}

#[test]
fn checkpoints_in_the_wrong_order_are_noticed() {
    let bench = Bench::new();
    write_checkpoints(&bench, "", Layout::Zip);
    let names = ["texture", "structure", "discriminator"];
    for order in [[1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        let [t, s, d] = order.map(|i| names[i]);
        bench.run_refused(
            &format!(
                "import --texture {t}.pth --structure {s}.pth --discriminator {d}.pth -o made"
            ),
            &["wrong order"],
        );
    }
}

/// Imports checkpoints of these files, as the model `out`; returns what the command says.
fn import_files(
    bench: &Bench,
    [texture, structure, discriminator]: [PathBuf; 3],
    out: &str,
) -> String {
    bench.run_well(&format!(
        "import --texture {} --structure {} --discriminator {} --steps 4 --resolution 32 -o {out}",
        texture.display(),
        structure.display(),
        discriminator.display(),
    ))
}

#[test]
fn checkpoints_that_pytorch_wrote_are_imported() {
    let bench = Bench::with_photo();
    let nets = strdiffusion_testing::recorded().join("nets");
    let files = ["texture", "structure", "discriminator"];
    let sizes = import_files(
        &bench,
        files.map(|kind| nets.join(format!("{kind}_tiny.pth"))),
        "made",
    );
    assert!(
        sizes.contains("nf 4, depth 2") && sizes.contains("ngf 4"),
        "{sizes}"
    );
    bench.run_well("inpaint photo.png -m mask.png -o out.png --model made");
}

#[test]
#[ignore = "needs the reference implementation's fixtures in $STRDIFFUSION_FIXTURES"]
fn both_layouts_that_pytorch_wrote_give_the_same_weights() {
    let bench = Bench::new();
    let folder = std::env::var_os("STRDIFFUSION_FIXTURES").expect("STRDIFFUSION_FIXTURES");
    let nets = PathBuf::from(folder).join("nets").canonicalize().unwrap();
    let named = |names: [&str; 3]| names.map(|name| nets.join(format!("{name}.pth")));
    let files = [
        "texture_tiny_module",
        "structure_tiny_module",
        "discriminator_a_module",
    ];
    import_files(&bench, named(files), "zip");
    let files = [
        "texture_tiny_legacyformat",
        "structure_tiny_legacyformat",
        "discriminator_a",
    ];
    import_files(&bench, named(files), "legacy");
    for network in ["texture", "structure", "discriminator"] {
        let read = |model: &str| {
            std::fs::read(bench.path(&format!("{model}/{network}.safetensors"))).unwrap()
        };
        assert!(read("zip") == read("legacy"), "{network}");
    }
}
