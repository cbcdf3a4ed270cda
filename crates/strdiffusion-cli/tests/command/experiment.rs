//! Experiments from the command line.

use image::{GrayImage, Luma};

use crate::support::*;

/// The tiny model, three photographs and three masks with holes of a quarter.
fn bench_with_pairs() -> Bench {
    let bench = Bench::new();
    for folder in ["photos", "masks"] {
        std::fs::create_dir(bench.path(folder)).unwrap();
    }
    let mask = GrayImage::from_fn(40, 40, |x, y| Luma([255 * u8::from(x < 20 && y < 20)]));
    for name in ["a", "b", "c"] {
        let file = |folder: &str| bench.path(folder).join(format!("{name}.png"));
        photo(40, 40).save(file("photos")).unwrap();
        mask.save(file("masks")).unwrap();
    }
    bench
}

#[test]
fn resampling_is_measured_in_every_way_once() {
    let bench = bench_with_pairs();
    let line = "experiment resampling --images photos --masks masks -n 2 --size 16 --steps 2,0 \
                --seeds 2 --candidates 2 -o out";
    let said = bench.run_well(line);
    assert_eq!(
        said.lines().filter(|line| line.contains("2 fills")).count(),
        2,
        "{said}"
    );
    assert_eq!(
        said.lines().filter(|line| line.starts_with("t = ")).count(),
        2 // of the tiny schedule's four steps: the first and the middle
    );
    let read = |name: &str| std::fs::read_to_string(bench.path("out").join(name)).unwrap();
    let rows = read("resampling.csv");
    // Two grids, four ways, two seeds; who resamples at all steps its texture more often, and only
    // who asks the discriminator evaluates it.
    assert_eq!(rows.lines().count(), 1 + 2 * 4 * 2, "{rows}");
    let evaluations = |name: &str| -> Vec<usize> {
        let row = rows.lines().find(|row| row.starts_with(name)).unwrap();
        let last = row.split(';').skip(6);
        last.map(|value| value.parse().unwrap()).collect()
    };
    for grid in ["2 steps", "the paper's procedure"] {
        let of = |way: &str| evaluations(&format!("{grid}, {way};"));
        let [none, fixed] = [of("none"), of("fixed")];
        assert!(fixed[0] > none[0], "{none:?} {fixed:?}");
        assert_eq!([none[2], fixed[2]], [0, 0]);
        assert!(of("adaptive, the higher score wins")[2] > 0);
        assert!(of("adaptive, the lower score wins")[2] > 0);
    }
    let table = read("resampling.md");
    assert_eq!(table.lines().count(), 2 + 2 * 4, "{table}");
    // What is there is not measured again: its seconds would change.
    let findings = read("findings.json");
    bench.run_well(line);
    assert_eq!(read("resampling.csv"), rows);
    assert_eq!(read("findings.json"), findings);
    // Nor is what was found out in sentences: it is said as it stands there.
    let other = findings.replace("the discriminator prefers", "the discriminator liked");
    std::fs::write(bench.path("out/findings.json"), &other).unwrap();
    let said = bench.run_well(line);
    assert_eq!(said.matches("the discriminator liked").count(), 2, "{said}");
    std::fs::write(bench.path("out/findings.json"), "{").unwrap();
    bench.run_refused(line, &["findings.json", "damaged; remove it to begin anew"]);
}

#[test]
fn an_experiment_does_not_go_on_with_other_settings() {
    let bench = bench_with_pairs();
    let line = "experiment resampling --images photos --masks masks -n 2 --size 16 --steps 2 \
                --seeds 1 --candidates 0 -o out";
    bench.run_well(line);
    let table = || std::fs::read(bench.path("out/resampling.csv")).unwrap();
    let before = table();
    let other = "out: holds an experiment with other settings";
    let lines = [
        (line.replace("-n 2", "-n 1"), "pictures: 2 there, 1 now"),
        (format!("{line} --rounds 3"), "rounds: 2 there, 3 now"),
        (format!("{line} --u-max 4"), "u_max: 10 there, 4 now"),
        (
            line.replace("resampling", "cost")
                .replace(" --steps 2 --seeds 1 --candidates 0", ""),
            "experiment: resampling there, cost now",
        ),
    ];
    for (line, difference) in &lines {
        bench.run_refused(line, &[other, difference]);
    }
    // Other pictures under the same names.
    GrayImage::from_fn(40, 40, |x, _| Luma([255 * u8::from(x < 10)]))
        .save(bench.path("masks/a.png"))
        .unwrap();
    bench.run_refused(line, &[other, "pictures' SHA-256"]);
    assert_eq!(table(), before);
    // More seeds belong to the same experiment, results of unknown settings to none.
    std::fs::remove_file(bench.path("out/settings.json")).unwrap();
    bench.run_refused(line, &["out: holds resampling.csv and no settings"]);
    std::fs::write(bench.path("out/settings.json"), "{").unwrap();
    bench.run_refused(
        line,
        &["settings.json: damaged; choose a new or empty folder"],
    );
}
