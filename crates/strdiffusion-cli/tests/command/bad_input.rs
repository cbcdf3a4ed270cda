//! Bad input: one line that names the file, exit code 2, no partial output, no panic.

use image::DynamicImage;
use strdiffusion::weights::{self, Storage};

use crate::support::*;

#[test]
fn pictures_that_cannot_be_read_are_named() {
    let bench = Bench::with_photo();
    let write = |name: &str, bytes: &[u8]| std::fs::write(bench.path(name), bytes).unwrap();
    let whole = std::fs::read(bench.path("photo.png")).unwrap();
    write("text.png", b"this is no picture");
    write("empty.png", b"");
    write("cut.png", &whole[..whole.len() / 2]);
    photo(24, 20).save(bench.path("whole.jpg")).unwrap();
    let jpeg = std::fs::read(bench.path("whole.jpg")).unwrap();
    write("cut.jpg", &jpeg[..jpeg.len() * 2 / 3]);
    write("huge.png", &png_header(100_000, 100_000));
    write("anim.gif", b"GIF89a\x01\0\x01\0\0\0\0;");
    write("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0heicmif1");
    write("photo.avif", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1");
    write("photo.jxl", b"\xff\x0a\xfa\x1f\x01\x91\x08\x06\x01\0");
    std::fs::create_dir(bench.path("folder.png")).unwrap();
    for (name, hint) in [
        ("text.png", "not a picture"),
        ("empty.png", "empty"),
        ("cut.png", "truncated"),
        ("cut.jpg", "truncated"),
        ("huge.png", "100000x100000"),
        ("anim.gif", "not supported"),
        ("photo.heic", "HEIC format (which heif-convert reads)"),
        ("photo.avif", "AVIF format (which avifdec reads)"),
        ("photo.jxl", "JPEG XL format (which djxl reads)"),
        ("folder.png", "is a folder"),
        ("missing.png", "no such file"),
    ] {
        let as_photo = format!("inpaint {name} -m mask.png -o out.png");
        bench.run_refused(&as_photo, &[name, hint]);
        let as_mask = format!("inpaint photo.png -m {name} -o out.png");
        bench.run_refused(&as_mask, &[name, hint]);
    }
    let drawing = "inpaint photo.png -m mask.png --structure text.png -o out.png";
    bench.run_refused(drawing, &["text.png"]);
}

/// A PNG whose header promises a size and whose data is next to nothing (PNG specification,
/// 5.3 and 11.2). A chunk's checksum is the IEEE CRC-32 of type and data.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    let chunk = |kind: &[u8], data: &[u8]| {
        let body = [kind, data].concat();
        let crc = !body.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |c, _| {
                (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg())
            })
        });
        let length = data.len() as u32;
        [&length.to_be_bytes()[..], &body[..], &crc.to_be_bytes()[..]].concat()
    };
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    png.extend(chunk(b"IHDR", &header));
    png.extend(chunk(b"IDAT", b"\x78\x9c"));
    png.extend(chunk(b"IEND", b""));
    png
}

#[test]
fn masks_that_do_not_fit_are_explained() {
    let bench = Bench::with_photo();
    mask(30, 20).save(bench.path("wide.png")).unwrap();
    let mut white = DynamicImage::new_luma8(24, 20);
    white.save(bench.path("black.png")).unwrap();
    white.invert();
    white.save(bench.path("white.png")).unwrap();
    DynamicImage::new_rgba8(24, 20)
        .save(bench.path("glass.png"))
        .unwrap();
    let run = |mask: &str| format!("inpaint photo.png -m {mask} -o out.png");
    bench.run_refused(
        &run("wide.png"),
        &["wide.png", "30×20", "24×20", "--fit-mask"],
    );
    bench.run_refused(&run("white.png"), &["white.png", "--hole black"]);
    bench.run_refused(&run("black.png --hole black"), &["black.png"]);
    bench.run_refused("inpaint photo.png -o out.png", &["photo.png", "--mask"]);
    bench.run_refused(
        "inpaint glass.png -o out.png",
        &["glass.png", "transparent"],
    );
    let drawing = "inpaint photo.png -m mask.png --structure white.png -o out.png";
    bench.run_refused(drawing, &["white.png", "white lines on black"]);
    let drawing = "inpaint photo.png -m mask.png --structure wide.png -o out.png";
    bench.run_refused(drawing, &["wide.png", "30×20", "24×20"]);
    let avoid = "inpaint photo.png -m mask.png --avoid white.png -o out.png";
    bench.run_refused(avoid, &["white.png", "white everywhere", "what to avoid"]);
}

#[test]
fn outputs_that_cannot_be_written_are_refused_before_the_work() {
    let bench = Bench::with_photo();
    std::fs::create_dir(bench.path("out.png")).unwrap();
    std::fs::write(bench.path("file"), "").unwrap();
    // A broken model shows that the output is looked at first.
    std::fs::remove_file(bench.path("model/texture.safetensors")).unwrap();
    let run = |out: &str| format!("inpaint photo.png -m mask.png -o {out}");
    bench.run_refused(&run("out.xyz"), &["out.xyz", ".png"]);
    bench.run_refused(&run("out"), &["out", ".png"]);
    bench.run_refused(&run("nowhere/out.png"), &["nowhere/out.png"]);
    bench.run_refused(&run("out.png"), &["out.png", "folder"]);
    bench.run_refused(&run("file/out.png"), &["file/out.png"]);
    bench.run_refused(&run("photo.png"), &["photo.png", "overwrite"]);
    bench.run_refused(&run("./mask.png"), &["mask.png", "overwrite"]);
    let mut glass = photo(24, 20).to_rgba8();
    glass.get_pixel_mut(0, 0)[3] = 0;
    glass.save(bench.path("glass.png")).unwrap();
    bench.run_refused(
        "inpaint glass.png -m mask.png -o out.jpg",
        &["out.jpg", "transparent"],
    );
}

#[cfg(unix)]
#[test]
fn a_folder_without_write_permission_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::with_photo();
    let locked = bench.path("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
    // The system's administrator may write anywhere, and nobody may write here.
    let (folder, probe) = match std::fs::write(locked.join("probe"), "") {
        Err(_) => ("locked", true),
        Ok(()) => ("/proc", std::path::Path::new("/proc").is_dir()),
    };
    if probe {
        let run = format!("inpaint photo.png -m mask.png -o {folder}/out.png");
        bench.run_refused(&run, &[&format!("{folder}/out.png")]);
        let run = format!("inpaint photo.png -m mask.png -o out.png --frames {folder}/frames");
        bench.run_refused(&run, &[&format!("{folder}/frames")]);
    }
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn broken_models_are_named_file_by_file() {
    let bench = Bench::with_photo();
    let run = "inpaint photo.png -m mask.png -o out.png";
    for name in ["texture", "structure", "discriminator"] {
        let file = bench.path(&format!("model/{name}.safetensors"));
        let short = format!("{name}.safetensors");
        let good = std::fs::read(&file).unwrap();
        let refused = |hint: &str| {
            bench.run_refused(run, &[&short, hint]);
            bench.run_refused("info model", &[&short, hint]);
        };
        std::fs::write(&file, "").unwrap();
        refused("empty");
        std::fs::write(&file, &good[..good.len() - 9]).unwrap();
        refused("not a complete safetensors file");
        std::fs::write(&file, "nonsense, but more than eight bytes of it").unwrap();
        refused("not a complete safetensors file");
        std::fs::remove_file(&file).unwrap();
        refused("missing");

        let rewrite = |change: &dyn Fn(&mut weights::TensorMap)| {
            std::fs::write(&file, &good).unwrap();
            let mut tensors = weights::read_safetensors(&file).unwrap();
            change(&mut tensors);
            weights::write_safetensors(&file, &tensors, Storage::F32).unwrap();
        };
        rewrite(&|tensors| tensors.get_mut("final_conv.weight").unwrap().values[3] = f32::NAN);
        refused("final_conv.weight holds NaN");
        rewrite(&|tensors| drop(tensors.remove("final_conv.weight")));
        refused("final_conv.weight is missing");
        rewrite(&|tensors| {
            let extra = tensors["final_conv.weight"].clone();
            tensors.insert("extra.weight".into(), extra);
        });
        refused("extra.weight is not part of the network");
        rewrite(&|tensors| {
            tensors
                .get_mut("final_conv.weight")
                .unwrap()
                .shape
                .reverse()
        });
        refused("final_conv.weight has shape");
        std::fs::write(&file, &good).unwrap();
    }
    bench.run_well(run);

    let config = bench.path("model/config.json");
    let good = std::fs::read_to_string(&config).unwrap();
    for (bad, hint) in [
        (String::new(), "not a model's config"),
        (good.replace("\"steps\": 4", "\"steps\": 1"), "T is 1"),
        (
            good.replace("\"steps\": 4", "\"steps\": 4, \"speed\": 1"),
            "speed",
        ),
        (
            good.replace("\"format\": 1", "\"format\": 99"),
            "format is 99",
        ),
        (
            good.replace("\"width\": 4,\n", "\"width\": 6,\n"),
            "has shape",
        ),
    ] {
        assert_ne!(bad, good);
        std::fs::write(&config, bad).unwrap();
        bench.run_refused(run, &["model", hint]);
    }
    std::fs::remove_file(&config).unwrap();
    bench.run_refused(run, &["config.json", "strdiffusion import"]);
}

#[test]
fn a_model_that_is_none_is_explained() {
    let bench = Bench::with_photo();
    std::fs::write(bench.path("texture.pth"), "PK").unwrap();
    let run = |model: &str| format!("inpaint photo.png -m mask.png -o out.png --model {model}");
    bench.run_refused(&run("nowhere"), &["nowhere", "no such model folder"]);
    bench.run_refused(&run("texture.pth"), &["texture.pth", "strdiffusion import"]);
    bench.run_refused("info nowhere", &["nowhere"]);
}

#[test]
fn settings_out_of_range_are_named() {
    let bench = Bench::with_photo();
    let run = |more: &str| format!("inpaint photo.png -m mask.png -o out.png {more}");
    bench.run_refused(&run("--u-max 0"), &["u_max 0"]);
    bench.run_refused(&run("--device cuda:7"), &["cuda"]);
    // What the argument parser refuses is explained over several lines.
    for more in [
        "--device gpu",
        "--seed -1",
        "--hole grey",
        "--no-resampling --jump 2",
    ] {
        let output = bench.run(&run(more));
        assert_eq!(output.status.code(), Some(2), "{more}");
        assert!(text(&output.stderr).starts_with("error: "), "{more}");
    }
    assert!(!bench.path("out.png").exists());
}
