//! Pictures as people have them: from pipes, with masks that say something else than they look,
//! larger than the limit, with something to be said about them.

use std::io::Write;
use std::process::{Output, Stdio};

use image::{DynamicImage, GrayImage, Luma};

use crate::support::*;

/// Runs the command with bytes on standard input.
fn run_with_input(bench: &Bench, arguments: &str, input: &[u8]) -> Output {
    let mut child = bench
        .command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments does not wait for the end.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[test]
fn a_photo_or_a_mask_may_come_from_standard_input_and_the_result_go_to_standard_output() {
    let bench = Bench::with_photo();
    bench.run_well("inpaint photo.png -m mask.png -o out.png");
    let read = |name: &str| std::fs::read(bench.path(name)).unwrap();
    let expected = image::load_from_memory(&read("out.png")).unwrap();
    for (arguments, input) in [
        ("inpaint - -m mask.png -o -", "photo.png"),
        ("inpaint photo.png -m - -o -", "mask.png"),
        #[cfg(unix)]
        ("inpaint /dev/stdin -m mask.png -o -", "photo.png"),
    ] {
        let output = run_with_input(&bench, arguments, &read(input));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments}: {said}");
        assert!(output.stdout.starts_with(b"\x89PNG"), "{arguments}");
        assert_eq!(
            image::load_from_memory(&output.stdout).unwrap(),
            expected,
            "{arguments}"
        );
        assert!(said.contains("standard output: 24×20 pixels"), "{said}");
    }
    let output = run_with_input(
        &bench,
        "inpaint - -m mask.png -o - --format jpeg",
        &read("photo.png"),
    );
    assert!(output.stdout.starts_with(b"\xff\xd8"));
    // The photograph's format, unless told.
    let output = run_with_input(&bench, "inpaint - -m mask.png -o -", &output.stdout);
    assert!(output.stdout.starts_with(b"\xff\xd8"));
    for (arguments, hint) in [
        (
            "inpaint - -m - -o out2.png",
            "standard input holds one file",
        ),
        ("inpaint photo.png -m mask.png -o - --json", "--json"),
        ("inpaint photo.png -m mask.png -o - -n 2", "one picture"),
        (
            "inpaint photo.png -m mask.png -o - --quality 80",
            "PNG has no --quality",
        ),
        (
            "inpaint photo.png -m mask.png -o out2.png --format png",
            "extension",
        ),
    ] {
        bench.run_refused(arguments, &[hint]);
    }
    let output = run_with_input(&bench, "inpaint - -m mask.png -o out2.png", b"no picture");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("standard input: not a picture"));
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_read_as_a_photo_and_left_alone_in_a_folder() {
    let bench = Bench::with_photo();
    std::fs::create_dir(bench.path("photos")).unwrap();
    std::fs::copy(bench.path("photo.png"), bench.path("photos/b.png")).unwrap();
    let pipe = bench.path("photos/a.png");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    let output = bench.run("inpaint --images photos --mask mask.png --out filled");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("note: photos/a.png: no regular file, left alone"),
        "{said}"
    );
    assert_eq!(names_in(&bench.path("filled")), ["b.png"]);

    let bytes = std::fs::read(bench.path("photo.png")).unwrap();
    let (into, bytes) = (pipe.clone(), bytes);
    let writer = std::thread::spawn(move || std::fs::write(into, bytes));
    bench.run_well("inpaint photos/a.png -m mask.png -o out.png");
    writer.join().unwrap().unwrap();
    let read = |name: &str| image::open(bench.path(name)).unwrap();
    assert_eq!(read("out.png"), read("filled/b.png"));
}

#[cfg(unix)]
#[test]
fn sigterm_ends_a_folder_at_once_and_leaves_nothing_half_done() {
    use std::io::{BufRead, BufReader};

    let bench = Bench::with_photo();
    std::fs::create_dir(bench.path("photos")).unwrap();
    std::fs::copy(bench.path("photo.png"), bench.path("photos/b.png")).unwrap();
    bench.add_long_model();
    let run = "inpaint --images photos --mask mask.png --out filled --model long --json";
    let mut child = bench.command(run).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("event"));
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // On the spot: there is no summary.
    assert!(
        lines
            .map(Result::unwrap)
            .all(|line| !line.contains("summary"))
    );
    assert!(names_in(&bench.path("filled")).is_empty());
}

#[test]
fn a_mask_of_0_and_1_is_refused_with_what_to_do_and_copies_are_not_counted_as_filled() {
    let bench = Bench::with_photo();
    for folder in ["photos", "masks"] {
        std::fs::create_dir(bench.path(folder)).unwrap();
    }
    let ones = GrayImage::from_fn(24, 20, |x, y| Luma([u8::from(is_hole(x, y))]));
    ones.save(bench.path("masks/ones.png")).unwrap();
    DynamicImage::new_luma8(24, 20)
        .save(bench.path("masks/none.png"))
        .unwrap();
    std::fs::copy(bench.path("mask.png"), bench.path("masks/good.png")).unwrap();
    for name in ["ones", "none", "good"] {
        std::fs::copy(
            bench.path("photo.png"),
            bench.path(&format!("photos/{name}.png")),
        )
        .unwrap();
    }
    let run = "inpaint photo.png -m masks/ones.png -o out.png";
    bench.run_refused(run, &["masks/ones.png", "1 of 255", "--hole nonzero"]);
    bench.run_well(&format!("{run} --hole nonzero"));
    bench.run_well("inpaint photo.png -m mask.png -o white.png");
    let read = |name: &str| image::open(bench.path(name)).unwrap();
    assert_eq!(read("out.png"), read("white.png"));

    let folder = "inpaint --images photos --masks masks";
    let output = bench.run(&format!("{folder} --out filled"));
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.contains("1 of 3 photographs filled"), "{said}");
    assert!(
        said.contains("1 without a hole were copied, 1 failed"),
        "{said}"
    );
    let lines = objects(&text(
        &bench.run(&format!("{folder} --out other --json")).stdout,
    ));
    let summary = lines.last().unwrap();
    let numbers = ["photos", "filled", "copied", "failed"].map(|key| &summary[key]);
    assert_eq!(numbers, [3, 1, 1, 1]);
}

#[test]
fn one_mask_may_serve_a_whole_folder() {
    let bench = Bench::with_photo();
    std::fs::create_dir(bench.path("photos")).unwrap();
    for (name, width) in [("a.png", 24), ("b.png", 24), ("wide.png", 48)] {
        photo(width, 20)
            .save(bench.path(&format!("photos/{name}")))
            .unwrap();
    }
    let run = "inpaint --images photos --mask mask.png --out filled";
    let output = bench.run(run);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--fit-mask"));
    assert_eq!(names_in(&bench.path("filled")), ["a.png", "b.png"]);
    bench.run_well(&format!("{run} --fit-mask"));
    assert_eq!(
        names_in(&bench.path("filled")),
        ["a.png", "b.png", "wide.png"]
    );
}

#[test]
fn a_mask_that_is_shrunk_covers_the_hole() {
    let bench = Bench::with_photo();
    // A line that lies between the pixels that shrinking to a third would look at.
    let thin = GrayImage::from_fn(72, 60, |x, y| {
        Luma([if x == 30 && y < 30 { 255 } else { 0 }])
    });
    thin.save(bench.path("thin.png")).unwrap();
    let lines =
        objects(&bench.run_well("inpaint photo.png -m thin.png --fit-mask -o out.png --json"));
    assert_eq!(lines.last().unwrap()["hole_fraction"], 10.0 / 480.0);
}

#[test]
fn limits_are_named_with_the_option_that_raises_them() {
    let bench = Bench::with_photo();
    let run = "inpaint photo.png -m mask.png -o out.png";
    bench.run_refused(&format!("{run} --max-side 23"), &["24x20", "--max-side 24"]);
    bench.run_refused(
        &format!("{run} --max-megapixels 0.0004"),
        &["photo.png", "--max-megapixels 1"],
    );
    bench.run_well(&format!("{run} --max-side 24 --max-megapixels 1"));
}

#[test]
fn what_is_left_out_is_said_once_for_each_photo() {
    let bench = Bench::with_photo();
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, 24, 20);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_animated(2, 0).unwrap();
    encoder
        .add_text_chunk("Author".into(), "Someone".into())
        .unwrap();
    let mut writer = encoder.write_header().unwrap();
    for value in [90, 200] {
        writer.write_image_data(&[value; 24 * 20]).unwrap();
    }
    writer.finish().unwrap();
    std::fs::create_dir(bench.path("photos")).unwrap();
    std::fs::write(bench.path("photos/moving.png"), &bytes).unwrap();
    let frames = "photos/moving.png: it holds 2 frames, of which only number 1 is used";
    let output = bench.run("inpaint photos/moving.png -m mask.png -o out.jpg -n 2");
    let said = text(&output.stderr);
    assert_eq!(said.matches(frames).count(), 1, "{said}");
    assert_eq!(
        said.matches("JPEG has no place for the texts that only PNG has")
            .count(),
        1,
        "{said}"
    );
    let run = "inpaint --images photos --mask mask.png --out filled --json";
    let lines = objects(&bench.run_well(run));
    let notes: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "note")
        .collect();
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0]["message"], frames);
}

#[cfg(unix)]
#[test]
fn a_cause_is_told_once() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::with_photo();
    let locked = bench.path("photo.png");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).unwrap();
    // The system's administrator may read anything; a file that fails for anybody is elsewhere, and
    // its failure is not the user's fault.
    let (file, code) = match std::fs::read(&locked) {
        Err(_) => ("photo.png", 2),
        Ok(_) => ("/proc/self/mem", 1),
    };
    if std::path::Path::new(file).exists() || file == "photo.png" {
        let output = bench.run(&format!("inpaint {file} -m mask.png -o out.png"));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_eq!(said.matches("os error").count(), 1, "{said}");
    }
}

#[test]
fn a_jpeg_is_written_in_the_quality_that_is_asked_for_and_without_what_is_not() {
    let bench = Bench::with_photo();
    let tables = |name: &str| {
        let bytes = std::fs::read(bench.path(name)).unwrap();
        let at = bytes.windows(2).position(|marker| marker == [0xff, 0xdb]);
        bytes[at.unwrap() + 5..][..64].to_vec()
    };
    bench.run_well("inpaint photo.png -m mask.png -o first.jpg --quality 60");
    bench.run_well("inpaint first.jpg -m mask.png -o second.jpg");
    bench.run_well("inpaint first.jpg -m mask.png -o finer.jpg --quality 90");
    assert_eq!(tables("first.jpg"), tables("second.jpg"));
    assert!(tables("finer.jpg") < tables("first.jpg"));
    bench.run_well("inpaint photo.png -m mask.png -o told.png");
    bench.run_well("inpaint told.png -m mask.png -o bare.png --strip");
    let holds = |name: &str, word: &str| {
        let bytes = std::fs::read(bench.path(name)).unwrap();
        bytes
            .windows(word.len())
            .any(|part| part == word.as_bytes())
    };
    assert!(holds("told.png", "strdiffusion-seed") && holds("told.png", "Software"));
    assert!(!holds("bare.png", "strdiffusion") && !holds("bare.png", "Software"));
}
