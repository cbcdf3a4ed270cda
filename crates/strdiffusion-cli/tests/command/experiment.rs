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
