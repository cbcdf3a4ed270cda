//! Folders of photographs, and several candidates of one.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::support::*;

/// A folder `photos` of small photographs in two sizes and three formats, with `masks`.
fn with_photos(count: u32) -> Bench {
    let bench = Bench::new();
    for folder in ["photos", "masks"] {
        std::fs::create_dir(bench.path(folder)).unwrap();
    }
    for i in 0..count {
        let (width, height) = if i % 3 == 0 { (20, 24) } else { (24, 20) };
        let extension = ["png", "bmp", "PNG", "jpg"][i as usize % 4];
        let picture = photo(width, height).to_rgb8();
        let picture = image::DynamicImage::ImageRgb8(picture).brighten(i as i32);
        let name = bench.path(&format!("photos/p{i:02}.{extension}"));
        picture.save(name).unwrap();
        mask(width, height)
            .save(bench.path(&format!("masks/p{i:02}.png")))
            .unwrap();
    }
    bench
}

const RUN: &str = "inpaint --images photos --masks masks --out filled";

fn events<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == kind).collect()
}

#[test]
fn three_broken_photos_of_fifty_do_not_stop_the_others() {
    let bench = with_photos(50);
    let write = |name: &str, bytes: &[u8]| std::fs::write(bench.path(name), bytes).unwrap();
    let whole = std::fs::read(bench.path("photos/p04.png")).unwrap();
    write("photos/p04.png", &whole[..whole.len() / 2]);
    write("photos/p10.PNG", b"this is no picture");
    std::fs::remove_file(bench.path("masks/p21.png")).unwrap();
    write("photos/notes.txt", b"no picture by its name");

    let output = bench.run(RUN);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    let failed: Vec<&str> = error
        .lines()
        .filter_map(|line| line.strip_prefix("failed: "))
        .collect();
    assert_eq!(failed.len(), 3, "{error}");
    for (name, reason) in [
        ("p04.png", "truncated"),
        ("p10.PNG", "not a picture"),
        ("p21.bmp", "masks/p21.*"),
    ] {
        let is_told = |line: &&str| line.contains(name) && line.contains(reason);
        assert_eq!(failed.iter().filter(|line| is_told(line)).count(), 1);
    }
    assert!(error.contains("note: photos/notes.txt: "), "{error}");
    let last = error.lines().last().unwrap();
    assert!(last.starts_with("error: 3 of 50 photographs failed"));
    let said = text(&output.stdout);
    assert!(said.contains("47 of 50 photographs filled"), "{said}");

    // Names stay, and what is known stays in them.
    let mut expected = names_in(&bench.path("photos"));
    expected.retain(|name| !["p04.png", "p10.PNG", "p21.bmp", "notes.txt"].contains(&&**name));
    assert_eq!(names_in(&bench.path("filled")), expected);
    assert_eq!(expected.len(), 47);
    for name in expected.iter().filter(|name| !name.ends_with("jpg")) {
        let open = |folder: &str| {
            let picture = image::open(bench.path(&format!("{folder}/{name}")));
            picture.unwrap().to_rgb8()
        };
        let (before, after) = (open("photos"), open("filled"));
        let mut changed = 0;
        for (x, y, pixel) in before.enumerate_pixels() {
            let same = after.get_pixel(x, y) == pixel;
            assert!(same || is_hole(x, y), "{name}: pixel {x}, {y}");
            changed += usize::from(!same);
        }
        assert!(changed > 0, "{name}");
    }

    // The same command again does what is missing and no more.
    write("photos/p04.png", &whole);
    let kept = std::fs::read(bench.path("filled/p05.bmp")).unwrap();
    std::fs::remove_file(bench.path("filled/p02.PNG")).unwrap();
    write("filled/p06.PNG", b"there already");
    let output = bench.run(&format!("{RUN} --json"));
    assert_eq!(output.status.code(), Some(1));
    let lines = objects(&text(&output.stdout));
    let mut done: Vec<&str> = events(&lines, "result")
        .iter()
        .map(|line| line["input"].as_str().unwrap())
        .collect();
    done.sort_unstable();
    assert_eq!(done, ["photos/p02.PNG", "photos/p04.png"]);
    let failed = events(&lines, "failed");
    assert_eq!(failed.len(), 2);
    let summary = lines.last().unwrap();
    assert_eq!(summary["event"], "summary");
    let numbers = ["photos", "filled", "there_already", "failed"].map(|key| &summary[key]);
    assert_eq!(numbers, [50, 2, 46, 2]);
    assert_eq!(summary["failures"].as_array().unwrap().len(), 2);
    assert_eq!(summary["cancelled"], false);
    let steps = events(&lines, "step");
    assert!(steps.iter().all(|step| step["input"].is_string()));
    assert_eq!(
        std::fs::read(bench.path("filled/p06.PNG")).unwrap(),
        b"there already"
    );
    assert!(std::fs::read(bench.path("filled/p05.bmp")).unwrap() == kept);
}

#[test]
fn a_photo_of_a_folder_is_filled_as_it_is_alone() {
    let bench = with_photos(8);
    bench.run_well(&format!("{RUN} --seed 5"));
    bench.run_well("inpaint --images photos --masks masks --out single --seed 5 --batch 1");
    for name in names_in(&bench.path("photos")) {
        let read = |path: String| std::fs::read(bench.path(&path)).unwrap();
        let together = read(format!("filled/{name}"));
        let stem = &name[..3];
        bench.run_well(&format!(
            "inpaint photos/{name} -m masks/{stem}.png -o alone_{name} --seed 5"
        ));
        assert!(together == read(format!("alone_{name}")), "{name}");
        assert!(together == read(format!("single/{name}")), "{name}");
    }
}

#[test]
fn photos_without_a_mask_need_transparent_pixels() {
    let bench = with_photos(2);
    let mut cutout = photo(24, 20).to_rgba8();
    cutout.save(bench.path("photos/opaque.png")).unwrap();
    for (x, y, pixel) in cutout.enumerate_pixels_mut() {
        pixel[3] = if is_hole(x, y) { 0 } else { 255 };
    }
    cutout.save(bench.path("photos/cutout.png")).unwrap();
    let output = bench.run(&format!("{RUN} --json"));
    assert_eq!(output.status.code(), Some(1));
    let lines = objects(&text(&output.stdout));
    let failed = events(&lines, "failed");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["input"], "photos/opaque.png");
    let filled = image::open(bench.path("filled/cutout.png")).unwrap();
    assert!(filled.to_rgba8().pixels().all(|pixel| pixel[3] == 255));

    // Two masks for one photograph: which one is meant cannot be known.
    mask(20, 24).save(bench.path("masks/p00.bmp")).unwrap();
    std::fs::remove_dir_all(bench.path("filled")).unwrap();
    let output = bench.run(RUN);
    let error = text(&output.stderr);
    assert!(
        error.contains("p00.bmp") && error.contains("remove one"),
        "{error}"
    );
}

#[test]
fn folders_that_cannot_be_used_are_refused_before_the_work() {
    let bench = with_photos(2);
    std::fs::create_dir(bench.path("empty")).unwrap();
    std::fs::write(bench.path("file"), "").unwrap();
    let run = |images: &str, masks: &str, out: &str| {
        format!("inpaint --images {images} --masks {masks} --out {out}")
    };
    bench.run_refused(
        &run("nowhere", "masks", "o"),
        &["nowhere", "no such folder"],
    );
    bench.run_refused(&run("photos", "nowhere", "o"), &["nowhere"]);
    bench.run_refused(&run("file", "masks", "o"), &["file", "is no folder"]);
    bench.run_refused(&run("empty", "masks", "o"), &["empty", "no photographs"]);
    bench.run_refused(&run("photos", "empty", "o"), &["empty", "no masks"]);
    bench.run_refused(&run("photos", "masks", "photos"), &["photos", "another"]);
    bench.run_refused(&run("photos", "masks", "./masks"), &["masks", "another"]);
    bench.run_refused(&run("photos", "photos", "o"), &["--masks", "--images"]);
    bench.run_refused(&run("photos", "masks", "file"), &["file"]);
    // What the argument parser refuses is explained over several lines.
    for arguments in [
        "inpaint --images photos --masks masks",
        "inpaint --masks masks --out filled",
        "inpaint photos/p00.png --images photos --out filled",
        "inpaint --images photos --out filled -o out.png",
        "inpaint --images photos --out filled --frames frames",
        "inpaint photos/p00.png -m masks/p00.png",
        "inpaint -m masks/p00.png -o out.png",
        "inpaint photos/p00.png -m masks/p00.png -o out.png -n 0",
        "inpaint photos/p00.png -m masks/p00.png -o out.png --batch 0",
    ] {
        let output = bench.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(text(&output.stderr).starts_with("error: "), "{arguments}");
    }
    assert!(!bench.path("filled").exists());
}

#[test]
fn candidates_are_the_fills_of_the_seeds_from_the_first_on() {
    let bench = Bench::with_photo();
    let run = "inpaint photo.png -m mask.png";
    let lines = objects(&bench.run_well(&format!(
        "{run} -o out.png --seed 7 -n 3 --batch 2 --json --frames frames"
    )));
    let results = events(&lines, "result");
    for (number, result) in (1..).zip(&results) {
        assert_eq!(result["candidate"], number);
        assert_eq!(result["seed"], 6 + number);
        assert_eq!(result["output"], format!("out-{number}.png"));
        bench.run_well(&format!("{run} -o alone.png --seed {}", 6 + number));
        let read = |name: &str| std::fs::read(bench.path(name)).unwrap();
        assert!(read(&format!("out-{number}.png")) == read("alone.png"));
        let steps = events(&lines, "step");
        let own = steps.iter().filter(|step| step["candidate"] == number);
        assert_eq!(own.count(), T);
    }
    assert_eq!(results.len(), 3);
    assert_eq!(names_in(&bench.path("frames")), ["1", "2", "3"]);
    assert!(!bench.path("out.png").exists());

    let bench = with_photos(2);
    bench.run_well(&format!("{RUN} --candidates 2"));
    let expected = ["p00-1.png", "p00-2.png", "p01-1.bmp", "p01-2.bmp"];
    assert_eq!(names_in(&bench.path("filled")), expected);
}

#[test]
fn a_candidate_never_overwrites_an_input() {
    let bench = Bench::with_photo();
    photo(24, 20).save(bench.path("out-2.png")).unwrap();
    let run = "inpaint out-2.png -m mask.png -o out.png -n 2";
    bench.run_refused(run, &["out-2.png", "overwrite"]);
}

#[test]
fn a_png_holds_what_it_was_filled_with() {
    let bench = Bench::with_photo();
    bench.run_well("inpaint photo.png -m mask.png -o out.png --seed 12 --sampler fast --steps 3");
    let bytes = std::fs::read(bench.path("out.png")).unwrap();
    let text = png_text(&bytes);
    let of = |keyword: &str| {
        let found = text.iter().find(|(key, _)| key == keyword);
        &found.unwrap_or_else(|| panic!("no {keyword}")).1
    };
    assert_eq!(
        of("Software"),
        concat!("strdiffusion ", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(of("strdiffusion-model"), "model");
    assert_eq!(of("strdiffusion-seed"), "12");
    let settings: Value = serde_json::from_str(of("strdiffusion-settings")).unwrap();
    assert_eq!(settings["scale"], "auto");
    assert_eq!(settings["sampler"]["steps"], 3);
    assert_eq!(settings["drawn_structure"], false);
}

/// The tEXt chunks of a PNG file: keyword, zero byte, text (PNG specification, 5.3 and 11.3.3.2).
fn png_text(mut bytes: &[u8]) -> Vec<(String, String)> {
    let mut all = vec![];
    bytes = &bytes[8..];
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let (kind, data) = rest[..4 + length].split_at(4);
        if kind == b"tEXt" {
            let both = text(data);
            let (keyword, content) = both.split_once('\0').unwrap();
            all.push((keyword.into(), content.into()));
        }
        bytes = &rest[8 + length..];
    }
    all
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_folder_and_the_same_command_goes_on() {
    let bench = with_photos(6);
    bench.add_long_model();
    let mut child = bench
        .command(&format!("{RUN} --model long --json"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("event"));
    signal(&child, "INT");
    let last = lines.map(Result::unwrap).last().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let error = text(&output.stderr);
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("6 of 6") && error.contains("same command again"));
    let summary: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(
        (&summary["event"], &summary["cancelled"]),
        (&"summary".into(), &true.into())
    );
    assert!(
        names_in(&bench.path("filled")).is_empty(),
        "nothing half done"
    );
    bench.run_well(RUN);
    assert_eq!(names_in(&bench.path("filled")).len(), 6);
}
