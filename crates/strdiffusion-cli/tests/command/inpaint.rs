//! Filling a photograph.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use image::{DynamicImage, ExtendedColorType, GenericImageView, ImageEncoder};

use crate::support::*;

/// Samples of one pixel, in the picture's own depth.
fn samples(image: &DynamicImage, x: u32, y: u32) -> Vec<u8> {
    let pixel = usize::from(image.color().bytes_per_pixel());
    let at = (y * image.width() + x) as usize * pixel;
    image.as_bytes()[at..at + pixel].to_vec()
}

#[test]
fn known_pixels_come_back_bit_for_bit_in_every_kind_and_format() {
    let bench = Bench::with_photo();
    let full = photo_16_bit(24, 20);
    let kinds: [(&str, DynamicImage); 8] = [
        ("gray8", full.to_luma8().into()),
        ("graya8", full.to_luma_alpha8().into()),
        ("rgb8", full.to_rgb8().into()),
        ("rgba8", full.to_rgba8().into()),
        ("gray16", full.to_luma16().into()),
        ("graya16", full.to_luma_alpha16().into()),
        ("rgb16", full.to_rgb16().into()),
        ("rgba16", full.to_rgba16().into()),
    ];
    for (kind, photo) in &kinds {
        let gray_alpha = kind.starts_with("graya");
        let formats = match (kind.ends_with("16"), gray_alpha) {
            (true, false) => vec!["png", "tif"],
            (false, false) => vec!["png", "tif", "bmp", "webp"],
            (_, true) => vec!["png"], // the test's encoders write no other
        };
        for format in formats {
            let file = format!("{kind}.{format}");
            photo.save(bench.path(&file)).unwrap();
            let out = format!("out_{kind}.{format}");
            bench.run_well(&format!("inpaint {file} --mask mask.png -o {out}"));
            // What a format cannot hold (gray in WebP) was another kind before the fill, too.
            let before = image::open(bench.path(&file)).unwrap();
            let after = image::open(bench.path(&out)).unwrap();
            assert_eq!(
                (after.color(), after.dimensions()),
                (before.color(), (24, 20)),
                "{file}"
            );
            let mut changed = 0;
            for (x, y) in (0..20).flat_map(|y| (0..24).map(move |x| (x, y))) {
                let same = samples(&before, x, y) == samples(&after, x, y);
                assert!(same || is_hole(x, y), "{file}: pixel {x}, {y}");
                changed += usize::from(!same);
            }
            assert!(changed > 0, "{file}: nothing was filled");
        }
    }
}

#[test]
fn the_hole_of_the_photo_is_never_read() {
    let bench = Bench::with_photo();
    let mut other = photo(24, 20).to_rgb8();
    for (x, y, pixel) in other.enumerate_pixels_mut() {
        if is_hole(x, y) {
            *pixel = image::Rgb([255, 0, (x * y) as u8]);
        }
    }
    other.save(bench.path("other.png")).unwrap();
    for name in ["photo", "other"] {
        bench.run_well(&format!(
            "inpaint {name}.png -m mask.png -o {name}_out.png --frames {name}_frames"
        ));
    }
    let read = |name: &str| std::fs::read(bench.path(name)).unwrap();
    assert!(read("photo_out.png") == read("other_out.png"));
    let frames = names_in(&bench.path("photo_frames"));
    let expected: Vec<String> = ["structure", "texture"]
        .iter()
        .flat_map(|kind| (0..T).map(move |t| format!("{kind}_t{t:04}.png")))
        .collect();
    assert_eq!(frames, expected);
    for frame in frames {
        let [one, other] = ["photo", "other"].map(|name| read(&format!("{name}_frames/{frame}")));
        assert!(one == other, "{frame}");
    }
}

#[test]
fn results_do_not_depend_on_threads() {
    let bench = Bench::with_photo();
    let filled = |threads: usize| {
        let out = format!("filled-{threads}.png");
        let run = format!("inpaint photo.png -m mask.png --seed 4 --threads {threads} -o {out}");
        bench.run_well(&run);
        std::fs::read(bench.path(&out)).unwrap()
    };
    let one = filled(1);
    assert!(one == filled(2) && one == filled(8));
    let none = "inpaint photo.png -m mask.png -o out.png --threads 0";
    bench.run_refused(none, &["0 threads", "at least 1"]);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bench = Bench::with_photo();
    for (out, seed) in [("a.png", 5), ("b.png", 5), ("c.png", 6)] {
        bench.run_well(&format!(
            "inpaint photo.png -m mask.png -o {out} --seed {seed}"
        ));
    }
    let [a, b, c] = ["a", "b", "c"].map(|n| std::fs::read(bench.path(n).with_extension("png")));
    assert!(a.as_ref().unwrap() == b.as_ref().unwrap());
    assert!(a.unwrap() != c.unwrap());
}

#[test]
fn json_lines_report_every_step_and_the_result() {
    let bench = Bench::with_photo();
    let lines = objects(
        &bench.run_well("inpaint photo.png -m mask.png -o out.png --json --seed 9 --device cpu"),
    );
    let steps: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "step")
        .collect();
    assert_eq!(steps.len(), T);
    assert_eq!(steps[T - 1]["done"], T);
    let phases: Vec<_> = steps
        .iter()
        .map(|step| step["phase"].as_str().unwrap())
        .collect();
    // T = 4 and early until ⌊0.4 · 4⌋ = 1: never late.
    assert_eq!(phases, ["early"; T]);
    let result = lines.last().unwrap();
    assert_eq!(result["event"], "result");
    assert_eq!(result["output"], "out.png");
    assert_eq!(
        (&result["seed"], &result["device"]),
        (&9.into(), &"cpu".into())
    );
    assert_eq!(
        (&result["width"], &result["height"]),
        (&24.into(), &20.into())
    );
    assert_eq!(result["hole_fraction"], 48.0 / 480.0);
    assert!(result["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(result["model"], bench.path("model").display().to_string());
    for network in ["texture", "structure", "discriminator"] {
        assert!(
            result["evaluations"][network].as_u64().unwrap() > 0,
            "{network}"
        );
    }

    let plain =
        objects(&bench.run_well("inpaint photo.png -m mask.png -o out.png --json --no-resampling"));
    let expected = serde_json::json!({"texture": T, "structure": T, "discriminator": 0});
    assert_eq!(plain.last().unwrap()["evaluations"], expected);
}

#[test]
fn transparent_pixels_are_the_hole_where_no_mask_is_named() {
    let bench = Bench::new();
    let mut cutout = photo(24, 20).to_rgba8();
    for (x, y, pixel) in cutout.enumerate_pixels_mut() {
        pixel[3] = if is_hole(x, y) { 0 } else { 255 };
    }
    cutout.save(bench.path("cutout.png")).unwrap();
    let lines = objects(&bench.run_well("inpaint cutout.png -o out.png --json"));
    assert_eq!(lines.last().unwrap()["hole_fraction"], 0.1);
    let filled = image::open(bench.path("out.png")).unwrap().to_rgba8();
    assert!(
        filled.pixels().all(|pixel| pixel[3] == 255),
        "a filled pixel is opaque"
    );
}

#[test]
fn polarity_and_fit_choose_the_hole() {
    let bench = Bench::with_photo();
    let mut black = mask(24, 20);
    black.invert();
    black.save(bench.path("black.png")).unwrap();
    let large = mask(24, 20).resize_exact(72, 60, image::imageops::FilterType::Nearest);
    large.save(bench.path("large.png")).unwrap();
    bench.run_well("inpaint photo.png -m mask.png -o white.png");
    bench.run_well("inpaint photo.png -m black.png -o inverted.png --hole black");
    bench.run_well("inpaint photo.png -m large.png -o fitted.png --fit-mask");
    let read = |name: &str| std::fs::read(bench.path(name)).unwrap();
    assert!(read("white.png") == read("inverted.png"));
    assert!(read("white.png") == read("fitted.png"));
}

#[test]
fn an_empty_mask_brings_the_photo_back_with_a_note() {
    let bench = Bench::with_photo();
    DynamicImage::new_luma8(24, 20)
        .save(bench.path("black.png"))
        .unwrap();
    let output = bench.run("inpaint photo.png -m black.png -o out.png");
    assert_eq!(output.status.code(), Some(0));
    let note = text(&output.stderr);
    assert!(
        note.starts_with("note: black.png: ") && note.contains("no hole"),
        "{note}"
    );
    assert_eq!(
        image::open(bench.path("out.png")).unwrap(),
        image::open(bench.path("photo.png")).unwrap()
    );
    let lines = objects(&bench.run_well("inpaint photo.png -m black.png -o out.png --json"));
    assert_eq!(lines[0]["event"], "note");
    assert_eq!(lines[1]["hole_fraction"], 0.0);
}

#[test]
fn exif_orientation_is_applied_before_the_mask() {
    let bench = Bench::new();
    // Little-endian TIFF with one entry: tag 0x0112 (orientation), SHORT, 1 value, 6 = the first
    // row is the right side (Exif 2.3, 4.6.4 A): to be turned by 90° clockwise.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    let lying = photo(20, 24).to_rgb8();
    let mut bytes = vec![];
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.set_exif_metadata(exif.clone()).unwrap();
    encoder
        .write_image(&lying, 20, 24, ExtendedColorType::Rgb8)
        .unwrap();
    std::fs::write(bench.path("lying.png"), bytes).unwrap();
    mask(24, 20).save(bench.path("mask.png")).unwrap();
    bench.run_well("inpaint lying.png -m mask.png -o out.png");
    let upright = image::imageops::rotate90(&lying);
    let filled = image::open(bench.path("out.png")).unwrap().to_rgb8();
    assert_eq!(filled.dimensions(), (24, 20));
    for (x, y, pixel) in upright.enumerate_pixels() {
        assert!(
            is_hole(x, y) || filled.get_pixel(x, y) == pixel,
            "pixel {x}, {y}"
        );
    }

    let mut bytes = vec![];
    let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut bytes);
    encoder.set_exif_metadata(exif).unwrap();
    encoder
        .write_image(&lying, 20, 24, ExtendedColorType::Rgb8)
        .unwrap();
    std::fs::write(bench.path("lying.jpg"), bytes).unwrap();
    bench.run_well("inpaint lying.jpg -m mask.png -o from_jpeg.png");
    let upright = image::imageops::rotate90(&image::open(bench.path("lying.jpg")).unwrap());
    let filled = image::open(bench.path("from_jpeg.png")).unwrap().to_rgb8();
    let rotated = DynamicImage::ImageRgba8(upright).to_rgb8();
    for (x, y, pixel) in rotated.enumerate_pixels() {
        assert!(
            is_hole(x, y) || filled.get_pixel(x, y) == pixel,
            "pixel {x}, {y} of the JPEG"
        );
    }
}

#[test]
fn a_photo_larger_than_the_model_is_filled_region_by_region() {
    let bench = Bench::new();
    photo(150, 90).save(bench.path("photo.png")).unwrap();
    // Two holes too large for specks, far from each other.
    let is_hole = |x: u32, y: u32| {
        [(5, 5), (132, 72)]
            .iter()
            .any(|(left, top)| (*left..left + 12).contains(&x) && (*top..top + 12).contains(&y))
    };
    let holes = image::GrayImage::from_fn(150, 90, |x, y| {
        image::Luma([if is_hole(x, y) { 255 } else { 0 }])
    });
    holes.save(bench.path("mask.png")).unwrap();
    let run = "inpaint photo.png -m mask.png -o out.png --json";
    let lines = objects(&bench.run_well(&format!("{run} --frames frames")));
    assert_eq!(lines.last().unwrap()["regions"], 2);
    let frames = names_in(&bench.path("frames"));
    assert!(
        frames.contains(&"region02_texture_t0000.png".to_string()),
        "{frames:?}"
    );
    let lines = objects(&bench.run_well(&format!("{run} --scale native")));
    assert_eq!(lines.last().unwrap()["regions"], 1);
}

#[test]
fn drawn_structure_changes_the_fill() {
    let bench = Bench::with_photo();
    let line =
        image::GrayImage::from_fn(24, 20, |_, y| image::Luma([if y == 8 { 255 } else { 0 }]));
    line.save(bench.path("drawing.png")).unwrap();
    bench.run_well("inpaint photo.png -m mask.png -o plain.png");
    bench.run_well("inpaint photo.png -m mask.png -o drawn.png --structure drawing.png");
    let read = |name: &str| std::fs::read(bench.path(name)).unwrap();
    assert!(read("plain.png") != read("drawn.png"));
}

/// Green beside the avoided half, which is red; both have noise, so that there is detail to copy.
#[test]
fn what_is_avoided_is_not_copied() {
    let bench = Bench::with_photo();
    let is_hole = |x: u32, y: u32| (24..72).contains(&x) && (14..46).contains(&y);
    let noise = |x: u32, y: u32| ((x * 7919 + y * 104_729) % 97) as u8;
    let photo = image::RgbImage::from_fn(96, 60, |x, y| {
        let other = noise(y, x);
        image::Rgb(match x < 48 {
            true => [140 + noise(x, y), other, 40],
            false => [other, 140 + noise(x, y), 40],
        })
    });
    photo.save(bench.path("halves.png")).unwrap();
    let save = |name: &str, is_white: &dyn Fn(u32, u32) -> bool| {
        let pixel = |x, y| image::Luma([if is_white(x, y) { 255 } else { 0 }]);
        let mask = image::GrayImage::from_fn(96, 60, pixel);
        mask.save(bench.path(name)).unwrap();
    };
    save("middle.png", &is_hole);
    save("left.png", &|x, _| x < 48);
    save("nothing.png", &|_, _| false);
    let red = |more: &str| {
        let run = format!("inpaint halves.png -m middle.png -o out.png {more}");
        // The model inside: of an untrained one's noise more would stay than of detail.
        let mut command = bench.command(&run);
        let output = command.env_remove("STRDIFFUSION_MODEL").output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let filled = image::open(bench.path("out.png")).unwrap().to_rgb8();
        let pixels = filled.enumerate_pixels();
        let is_red =
            |(x, y, pixel): &(u32, u32, &image::Rgb<u8>)| is_hole(*x, *y) && pixel[0] > pixel[1];
        pixels.filter(is_red).count()
    };
    let without = red("");
    for more in ["", "--extend 0,0,10,0"] {
        let with = red(&format!("--avoid left.png {more}"));
        assert!(with < without / 2, "{with} of {without} {more}");
    }
    assert_eq!(red("--avoid nothing.png"), without);

    for (more, hints) in [
        ("--avoid photo.png", &["photo.png", "24×20", "96×60"][..]),
        ("--avoid missing.png", &["missing.png", "no such file"]),
        (
            "--avoid left.png --detail off",
            &["left.png", "--detail off"],
        ),
        (
            "--avoid left.png --scale native",
            &["left.png", "--scale native"],
        ),
    ] {
        let run = format!("inpaint halves.png -m middle.png -o refused.png {more}");
        bench.run_refused(&run, hints);
    }
    bench.run_well(
        "inpaint halves.png -m middle.png -o out.png --avoid left.png --scale native --detail 1",
    );
    bench.run_refused(
        "inpaint halves.png -m middle.png -o left.png --avoid left.png",
        &["left.png", "would overwrite an input"],
    );
}

#[test]
fn detail_changes_the_hole_alone_and_is_reported() {
    let bench = Bench::with_photo();
    let fill = |out: &str, detail: &str| {
        let run = format!("inpaint photo.png -m mask.png -o {out} --json {detail}");
        let result = objects(&bench.run_well(&run)).pop().unwrap();
        let picture = image::open(bench.path(out)).unwrap().to_rgb8();
        (result["detail"].clone(), picture)
    };
    let (report, auto) = fill("auto.png", "");
    let (nothing, off) = fill("off.png", "--detail off");
    let mut changed = 0;
    for (x, y, pixel) in auto.enumerate_pixels() {
        let same = off.get_pixel(x, y) == pixel;
        assert!(same || is_hole(x, y), "pixel {x}, {y}");
        changed += usize::from(!same);
    }
    assert!(changed > 0);
    assert_eq!(nothing, serde_json::json!([]));
    let [hole] = report.as_array().unwrap().as_slice() else {
        panic!("one hole, one entry: {report}");
    };
    let expected = [
        ("x", 6),
        ("y", 5),
        ("width", 8),
        ("height", 6),
        ("pixels", 48),
    ];
    for (key, value) in expected {
        assert_eq!(hole[key], value, "{key}");
    }
    for key in ["confidence", "trust"] {
        assert!((0.0..=1.0).contains(&hole[key].as_f64().unwrap()), "{key}");
    }
    let refused = bench.run("inpaint photo.png -m mask.png -o out.png --detail 2");
    assert_eq!(refused.status.code(), Some(2));
    let error = text(&refused.stderr);
    let line = error.lines().next().unwrap();
    assert!(
        line.contains("--detail") && line.contains("auto, off or a number from 0"),
        "{line}"
    );
    assert!(!bench.path("out.png").exists());
}

#[test]
fn losing_16_bits_to_the_format_is_said() {
    let bench = Bench::with_photo();
    photo_16_bit(24, 20).save(bench.path("deep.png")).unwrap();
    let output = bench.run("inpaint deep.png -m mask.png -o out.webp");
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).starts_with("note: out.webp: "));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_work_without_a_partial_output() {
    let bench = Bench::with_photo();
    bench.add_long_model();
    std::fs::write(bench.path("out.png"), "what was there before").unwrap();
    let before = bench.names();
    let mut child = bench
        .command("inpaint photo.png -m mask.png -o out.png --model long --json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It is at work once the first line is there.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("event"));
    signal(&child, "INT");
    let last = lines.map(Result::unwrap).last();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(
        text(&output.stderr),
        "error: out.png was not written: cancelled\n"
    );
    assert!(!last.unwrap_or_default().contains("\"result\""));
    assert_eq!(bench.names(), before);
    assert_eq!(
        std::fs::read(bench.path("out.png")).unwrap(),
        b"what was there before"
    );
}

#[test]
fn a_reader_that_goes_away_does_not_stop_the_fill() {
    let bench = Bench::with_photo();
    let mut child = bench
        .command("inpaint photo.png -m mask.png -o out.png --json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(bench.path("out.png").is_file());
}

#[test]
fn a_hole_is_grown_and_feathered_as_asked_alone_and_in_a_folder() {
    let bench = Bench::with_photo();
    let before = image::open(bench.path("photo.png")).unwrap();
    let distance = |x: u32, y: u32| {
        let beyond = |v: u32, first: u32, last: u32| v.max(last) - v.min(first) - (last - first);
        let [x, y] = [beyond(x, 6, 13), beyond(y, 5, 10)].map(f64::from);
        x.hypot(y)
    };
    let reach = |file: &str| {
        let after = image::open(bench.path(file)).unwrap();
        let pixels = (0..20).flat_map(|y| (0..24).map(move |x| (x, y)));
        let changed = pixels.filter(|&(x, y)| samples(&before, x, y) != samples(&after, x, y));
        changed.map(|(x, y)| distance(x, y)).fold(0.0, f64::max)
    };
    for (options, farthest) in [("", 0.0), ("--grow 3", 3.0), ("--grow 1 --feather 2", 3.0)] {
        bench.run_well(&format!(
            "inpaint photo.png -m mask.png -o out.png {options}"
        ));
        let found = reach("out.png");
        assert!(
            found <= farthest && found >= farthest - 1.0,
            "{options}: {found}"
        );
    }
    std::fs::create_dir(bench.path("photos")).unwrap();
    std::fs::copy(bench.path("photo.png"), bench.path("photos/photo.png")).unwrap();
    let run = "inpaint --images photos --mask mask.png --out filled --grow 1 --feather 2";
    let output = bench.run(run);
    let told = text(&output.stderr);
    assert!(
        told.contains("within 2 of the hole") && told.contains("photo.png"),
        "{told}"
    );
    let read = |name: &str| std::fs::read(bench.path(name)).unwrap();
    assert!(read("filled/photo.png") == read("out.png"));
    let one = "inpaint photo.png -m mask.png -o no.png";
    bench.run_refused(
        &format!("{one} --shrink 5"),
        &["mask.png", "nothing is left"],
    );
    bench.run_refused(&format!("{one} --grow 30"), &["mask.png", "whole picture"]);
    bench.run_refused(&format!("{one} --grow 5000"), &["grow is 5000", "4096"]);
    bench.run_refused(&format!("{one} --threshold 0"), &["threshold is 0"]);
}

#[test]
fn a_photo_is_continued_beyond_its_sides() {
    let bench = Bench::with_photo();
    let before = image::open(bench.path("photo.png")).unwrap();
    let check = |file: &str, has_hole: bool| {
        let after = image::open(bench.path(file)).unwrap();
        assert_eq!(after.dimensions(), (24 + 4 + 6, 20 + 3));
        for (x, y) in (0..20).flat_map(|y| (0..24).map(move |x| (x, y))) {
            let same = samples(&before, x, y) == samples(&after, x + 4, y + 3);
            assert!(same || (has_hole && is_hole(x, y)), "{file}: {x}, {y}");
        }
        let new: Vec<_> = (0..23).map(|y| samples(&after, 0, y)).collect();
        assert!(new.iter().any(|pixel| *pixel != [0, 0, 0]), "{file}");
    };
    bench.run_well("inpaint photo.png --extend 4,3,25%,0 -o out.png");
    check("out.png", false);
    bench.run_well("inpaint photo.png -m mask.png --extend 4,3,6,0 -o both.png");
    check("both.png", true);
    std::fs::create_dir(bench.path("photos")).unwrap();
    std::fs::copy(bench.path("photo.png"), bench.path("photos/photo.png")).unwrap();
    bench.run_well("inpaint --images photos --extend 4,3,6,0 --out filled");
    let read = |name: &str| std::fs::read(bench.path(name)).unwrap();
    assert!(read("filled/photo.png") == read("out.png"));
    let one = "inpaint photo.png -o no.png --extend";
    let wrong = bench.run(&format!("{one} 1,2,3"));
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("LEFT,TOP,RIGHT,BOTTOM"));
    for right in [40_000, 4_000_000_000u32] {
        let hint = format!("--max-side {}", right + 24);
        bench.run_refused(&format!("{one} 0,0,{right},0"), &["photo.png", &hint]);
    }
    bench.run_refused(&format!("{one} 0,0,0,0"), &["photo.png", "--mask"]);
}
