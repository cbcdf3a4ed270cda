//! Lists of photographs, shards of them, and what becomes of each.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::Value;

use crate::support::*;

/// `photos/a.png` to so many, in two sizes, each with a mask in `masks`.
fn with_photos(count: usize) -> Bench {
    let bench = Bench::new();
    for folder in ["photos", "masks"] {
        std::fs::create_dir(bench.path(folder)).unwrap();
    }
    for (i, name) in names(count).iter().enumerate() {
        let (width, height) = if i % 3 == 0 { (20, 24) } else { (24, 20) };
        let picture = photo(width, height).brighten(i as i32);
        picture
            .save(bench.path(&format!("photos/{name}.png")))
            .unwrap();
        mask(width, height)
            .save(bench.path(&format!("masks/{name}.png")))
            .unwrap();
    }
    bench
}

fn names(count: usize) -> Vec<String> {
    ('a'..='z').take(count).map(String::from).collect()
}

/// A list that fills each photograph into `filled/`.
fn list_of(names: &[String]) -> String {
    let row = |name: &String| format!("photos/{name}.png,masks/{name}.png,filled/{name}.png\n");
    let rows: String = names.iter().map(row).collect();
    format!("photo,mask,output\n{rows}")
}

fn write(bench: &Bench, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(bench.path(name), text).unwrap();
}

fn read(bench: &Bench, name: &str) -> Vec<u8> {
    std::fs::read(bench.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The outputs that lines of one kind tell of, in their order.
fn outputs<'a>(lines: &'a [Value], event: &str) -> Vec<&'a str> {
    let lines = lines.iter().filter(|line| line["event"] == event);
    lines.map(|line| line["output"].as_str().unwrap()).collect()
}

const RUN: &str = "inpaint --list list.csv --results results";

#[test]
fn a_row_is_filled_as_its_photo_is_alone() {
    let bench = with_photos(3);
    photo(24, 20).save(bench.path("drawing.png")).unwrap();
    let mut drawing = image::GrayImage::new(24, 20);
    (0..24).for_each(|x| drawing.put_pixel(x, 8, image::Luma([255])));
    drawing.save(bench.path("drawing.png")).unwrap();
    let photo = bench.path("photos/c.png");
    let avoid =
        image::GrayImage::from_fn(20, 24, |x, _| image::Luma([if x < 6 { 255 } else { 0 }]));
    avoid.save(bench.path("avoid.png")).unwrap();
    let list = format!(
        "output,photo,seed,mask,structure,avoid\n\
         filled/x/y/one.png,photos/a.png,7,masks/a.png,,avoid.png\n\
         \"filled/two, of b.bmp\",photos/b.png,,masks/b.png,drawing.png,\n\
         {},{},3,masks/c.png,,\n",
        bench.path("filled/three.png").display(),
        photo.display(),
    );
    write(&bench, "list.csv", &list);
    bench.run_well("inpaint --list list.csv --seed 5");
    for (filled, alone) in [
        (
            "filled/x/y/one.png",
            "photos/a.png -m masks/a.png -o alone.png --seed 7 --avoid avoid.png",
        ),
        (
            "filled/two, of b.bmp",
            "photos/b.png -m masks/b.png -o alone.bmp --seed 5 --structure drawing.png",
        ),
        (
            "filled/three.png",
            "photos/c.png -m masks/c.png -o alone.png --seed 3",
        ),
    ] {
        bench.run_well(&format!("inpaint {alone}"));
        let alone = if alone.contains(".bmp") {
            "alone.bmp"
        } else {
            "alone.png"
        };
        assert!(read(&bench, filled) == read(&bench, alone), "{filled}");
    }

    // The same from standard input.
    let before = read(&bench, "filled/x/y/one.png");
    std::fs::remove_dir_all(bench.path("filled")).unwrap();
    let mut command = bench.command("inpaint --list - --seed 5");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(list.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert!(read(&bench, "filled/x/y/one.png") == before);
}

#[test]
fn shards_share_the_work_by_name_alone() {
    let bench = with_photos(12);
    let mut all = names(12);
    write(&bench, "list.csv", list_of(&all));
    // The list in another order, and one row less: the others stay where they are.
    all.reverse();
    all.retain(|name| name != "d");
    write(&bench, "other.csv", list_of(&all));
    let shard_of = |run: &str, index: u64| -> Vec<String> {
        let lines = objects(&bench.run_well(&format!("{run} --shard {index}/3 --json")));
        outputs(&lines, "result")
            .iter()
            .map(|name| name.to_string())
            .collect()
    };
    let mut shards = BTreeMap::new();
    for index in 0..3 {
        for output in shard_of("inpaint --list other.csv --results r", index) {
            assert_eq!(shards.insert(output, index), None, "filled twice");
        }
    }
    assert_eq!(shards.len(), 11);
    assert!((0..3).all(|index| shards.values().any(|shard| *shard == index)));
    std::fs::remove_dir_all(bench.path("filled")).unwrap();
    let mut count = 0;
    for index in 0..3 {
        for output in shard_of(RUN, index) {
            let before = shards.get(&output);
            assert!(
                before == Some(&index) || output == "filled/d.png",
                "{output}"
            );
            count += 1;
        }
    }
    assert_eq!(count, 12);

    let merged = objects(&bench.run_well("merge-results results"));
    let mut outputs = outputs(&merged, "result");
    outputs.sort_unstable();
    assert_eq!(outputs.len(), 12);
    assert_eq!(outputs[0], "filled/a.png");
    assert_eq!(merged.len(), 12, "one line for each output, and no other");
    bench.run_well("merge-results results -o all.jsonl");
    assert_eq!(objects(&text(&read(&bench, "all.jsonl"))), merged);

    // A folder is shared in the same way.
    let folder = "inpaint --images photos --masks masks --out of_folder --results f";
    let counts: Vec<usize> = (0..3).map(|index| shard_of(folder, index).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 12);
    assert_eq!(
        names_in(&bench.path("of_folder")),
        names_in(&bench.path("filled"))
    );
}

#[test]
fn bad_rows_are_named_in_a_line_each_and_stop_no_other() {
    let bench = with_photos(6);
    let mut list = list_of(&names(2)).into_bytes();
    let rest = "photos/c.png,masks/c.png\n\
                photos/nowhere.png,masks/c.png,filled/c.png\n\
                photos/d.png,masks/d.png,./filled/a.png\n\
                photos/d.png,masks/d.png,photos/d.png\n\
                ,masks/d.png,filled/e.png\n\
                photos/e.png,nowhere.png,filled/g.png\n\
                photos/e.png,masks/e.png,filled/h.xyz\n\
                photos/e.png,masks/e.png,-\n";
    list.extend_from_slice(rest.as_bytes());
    list.extend_from_slice(b"photos/\xff.png,masks/f.png,filled/f.png\n");
    list.extend_from_slice(b"photos/f.png,masks/f.png,filled/f.png\n");
    write(&bench, "list.csv", &list);
    let output = bench.run(RUN);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    let failed: Vec<&str> = error
        .lines()
        .filter_map(|line| line.strip_prefix("failed: "))
        .collect();
    let expected = [
        ("list.csv line 4", "2 fields where the first line has 3"),
        ("photos/nowhere.png", "no such file"),
        (
            "list.csv line 6",
            "filled/a.png is the output of an earlier row",
        ),
        ("photos/d.png", "overwrite"),
        ("list.csv line 8", "names no photo"),
        ("photos/e.png", "nowhere.png: no such file"),
        ("filled/h.xyz", "unknown output format"),
        ("list.csv line 11", "stands for no file"),
        ("list.csv line 12", "not UTF-8"),
    ];
    assert_eq!(failed.len(), expected.len(), "{error}");
    for (name, reason) in expected {
        let is_told = |line: &&str| line.contains(name) && line.contains(reason);
        assert_eq!(
            failed.iter().filter(|line| is_told(line)).count(),
            1,
            "{name}\n{error}"
        );
    }
    let last = error.lines().last().unwrap();
    assert!(
        last.starts_with("error: 9 of 12 photographs failed"),
        "{error}"
    );
    assert_eq!(names_in(&bench.path("filled")), ["a.png", "b.png", "f.png"]);
    let merged = bench.run("merge-results results");
    assert_eq!(merged.status.code(), Some(1));
    let lines = objects(&text(&merged.stdout));
    assert_eq!(
        lines
            .iter()
            .filter(|line| line["event"] == "failed")
            .count(),
        9
    );

    // What was put right is no failure any more.
    write(&bench, "list.csv", list_of(&names(6)));
    bench.run_well(RUN);
    let merged = objects(&bench.run_well("merge-results results"));
    assert_eq!(outputs(&merged, "result").len(), 6);
    assert_eq!(merged.len(), 6);
}

#[test]
fn a_quote_that_is_not_closed_is_told_and_ends_as_a_failure() {
    let bench = with_photos(3);
    let list = list_of(&names(3)).replace("photos/b.png", "\"photos/b.png");
    write(&bench, "list.csv", list);
    let output = bench.run(RUN);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("failed: list.csv line 3: "), "{error}");
    assert_eq!(names_in(&bench.path("filled")), ["a.png"]);
}

#[test]
fn two_runs_of_one_shard_do_not_do_the_same_work() {
    let bench = with_photos(2);
    write(&bench, "list.csv", list_of(&names(2)));
    bench.run_well(&format!("{RUN} --shard 0/2"));
    let file = std::fs::File::open(bench.path("results/shard-0-of-2.jsonl")).unwrap();
    file.lock().unwrap();
    let hints = ["shard-0-of-2.jsonl", "another run of shard 0/2"];
    bench.run_refused(&format!("{RUN} --shard 0/2"), &hints);
    bench.run_well(&format!("{RUN} --shard 1/2"));
}

#[cfg(unix)]
#[test]
fn a_killed_run_loses_nothing_and_is_told_of_once() {
    let bench = with_photos(6);
    write(&bench, "list.csv", list_of(&names(6)));
    let run = format!("{RUN} --batch 1");
    let mut command = bench.command(&format!("{run} --json"));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_result = |line: &std::io::Result<String>| line.as_ref().unwrap().contains("result");
    assert!(lines.filter(is_result).nth(1).is_some());
    child.kill().unwrap();
    child.wait().unwrap();

    // As if it had been killed within a line, and before the line of an output that is there.
    let file = "results/shard-0-of-1.jsonl";
    let whole = text(&read(&bench, file));
    let cut = whole[..whole.len() - 1].rfind('\n').unwrap() + 20;
    write(&bench, file, &whole[..cut]);
    // A killed program leaves its temporary file.
    let finished = || {
        let mut names = names_in(&bench.path("filled"));
        names.retain(|name| !name.starts_with('.'));
        names.len()
    };
    let left = finished();
    let output = bench.run(&run);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("last line was cut off"));
    assert!(text(&output.stdout).contains(&format!("{left} were there already")));
    let merged = objects(&bench.run_well("merge-results results"));
    assert_eq!(merged.len(), 6);
    assert_eq!(finished(), 6);
    bench.run_well(&run);
    assert_eq!(objects(&bench.run_well("merge-results results")), merged);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_run_in_one_line() {
    let bench = with_photos(2);
    write(&bench, "list.csv", list_of(&names(2)));
    std::fs::create_dir(bench.path("results")).unwrap();
    let file = bench.path("results/shard-0-of-1.jsonl");
    std::os::unix::fs::symlink("/dev/full", file).unwrap();
    let output = bench.run(RUN);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(
        error.contains("No space left") && error.contains("same command again"),
        "{error}"
    );
}

#[test]
fn results_that_are_not_whole_are_not_taken_for_it() {
    let bench = with_photos(4);
    write(&bench, "list.csv", list_of(&names(4)));
    bench.run_refused("merge-results nowhere", &["nowhere"]);
    bench.run_refused("merge-results photos", &["no shard-I-of-N.jsonl"]);
    for index in [0, 2] {
        bench.run_well(&format!("{RUN} --shard {index}/3"));
    }
    let told = || {
        let output = bench.run("merge-results results");
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    assert!(told().contains("shard 1/3 has no file"));
    bench.run_well(&format!("{RUN} --shard 1/3"));
    bench.run_well("merge-results results");
    let file = "results/shard-1-of-3.jsonl";
    let whole = text(&read(&bench, file));
    let cut = whole[..whole.len() - 1].rfind('\n').unwrap() + 1;
    write(&bench, file, &whole[..cut]);
    assert!(told().contains("not finished"));
    write(&bench, file, format!("{whole}no JSON\n"));
    bench.run_refused("merge-results results", &["shard-1-of-3", "no JSON object"]);
    bench.run_refused(&format!("{RUN} --shard 1/3"), &["no JSON object"]);
    std::fs::rename(bench.path(file), bench.path("results/shard-1-of-4.jsonl")).unwrap();
    bench.run_refused("merge-results results", &["different numbers of shards"]);
}

#[test]
fn lists_that_cannot_be_used_are_refused_before_the_work() {
    let bench = with_photos(1);
    let list = |text: &str| write(&bench, "list.csv", text);
    list("photo,mask\n");
    bench.run_refused("inpaint --list list.csv", &["list.csv", "no column output"]);
    list("photo,mask,output,colour\n");
    bench.run_refused("inpaint --list list.csv", &["\"colour\""]);
    list("photo,photo,output\n");
    bench.run_refused("inpaint --list list.csv", &["\"photo\""]);
    list("");
    bench.run_refused("inpaint --list list.csv", &["no column photo"]);
    bench.run_refused("inpaint --list nowhere.csv", &["nowhere.csv"]);
    bench.run_refused("inpaint --list photos", &["photos", "cannot be read"]);
    for arguments in [
        "inpaint --list list.csv --shard 1/2",
        "inpaint --list list.csv --results r --shard 2/2",
        "inpaint --list list.csv --images photos --out o",
        "inpaint --list list.csv -m masks/a.png",
        "inpaint photos/a.png -m masks/a.png -o o.png --results r",
    ] {
        let output = bench.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(text(&output.stderr).starts_with("error: "), "{arguments}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_list_and_the_same_command_goes_on() {
    let bench = with_photos(3);
    write(&bench, "list.csv", list_of(&names(3)));
    bench.add_long_model();
    let mut command = bench.command(&format!("{RUN} --model long --json"));
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("event"));
    signal(&child, "INT");
    lines.for_each(drop);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(text(&output.stderr).contains("the list is not done"));
    bench.run_well(RUN);
    assert_eq!(names_in(&bench.path("filled")).len(), 3);
}
