//! Files made to do harm: what they ask for does not happen, and they are named.

use std::path::Path;

use strdiffusion::weights::{HostTensor, TensorMap};
use strdiffusion_testing::checkpoint::{CompressionMethod, Layout, archive, pickle_of};

use crate::support::*;

const IMPORT: &str = "import --texture t.pth --structure t.pth --discriminator t.pth -o made";

fn tensors(shape: &[usize], numbers: usize) -> TensorMap {
    let tensor = HostTensor {
        shape: shape.to_vec(),
        values: vec![0.5; numbers],
    };
    TensorMap::from([("init_conv.weight".into(), tensor)])
}

/// A pickle's text.
fn text_of(text: &str) -> Vec<u8> {
    [
        &[b'X'][..],
        &(text.len() as u32).to_le_bytes(),
        text.as_bytes(),
    ]
    .concat()
}

/// Ways in which a pickle makes Python run a command (the opcodes' names stand beside them), and what
/// the refusal names.
fn calls() -> [(Vec<u8>, &'static str); 4] {
    let (command, class) = (text_of("touch owned"), b"cposix\nsystem\n"); // GLOBAL
    let named = [text_of("posix"), text_of("system"), b"\x93".to_vec()].concat(); // STACK_GLOBAL
    [
        ([&class[..], &command, b"\x85R"].concat(), "posix.system"), // TUPLE1, REDUCE
        ([&named[..], &command, b"\x85\x81"].concat(), "posix.system"), // TUPLE1, NEWOBJ
        // Not in use since Python 2, and not read: MARK, OBJ; MARK, INST.
        ([&b"("[..], class, &command, b"o"].concat(), "opcode"),
        (
            [&b"("[..], &command, b"iposix\nsystem\n"].concat(),
            "opcode",
        ),
    ]
}

#[test]
fn a_pickle_that_calls_something_is_named_and_not_run() {
    let bench = Bench::new();
    let good = tensors(&[4, 6], 24);
    let numbers = [vec![0; 96]];
    for (call, hint) in calls() {
        // In place of the weights, and hidden among them.
        let alone = [&b"\x80\x04"[..], &call, b"."].concat();
        let mut hidden = pickle_of(&good, "", Layout::Zip);
        hidden.truncate(hidden.len() - 2);
        hidden.extend([&text_of("note"), &call[..], b"u."].concat());
        for file in [
            archive(&alone, &numbers, CompressionMethod::Stored),
            archive(&hidden, &numbers, CompressionMethod::Stored),
            alone,
        ] {
            std::fs::write(bench.path("t.pth"), file).unwrap();
            bench.run_refused(IMPORT, &["t.pth", hint]);
        }
    }
    assert!(!bench.path("owned").exists());
}

#[test]
fn a_pickle_that_nests_without_end_is_refused() {
    let bench = Bench::new();
    let deep = [
        &b"\x80\x02"[..],
        &vec![b']'; 1 << 20],
        &vec![b'a'; (1 << 20) - 1],
        b".",
    ]
    .concat();
    // Each list holds the one before it twice.
    let mut bomb = b"\x80\x02]q\x00".to_vec();
    for i in 0..60 {
        bomb.extend([b'(', b'h', i, b'h', i, b'l', b'q', i + 1]);
    }
    bomb.push(b'.');
    for pickle in [deep, bomb] {
        let file = archive(&pickle, &[], CompressionMethod::Deflated);
        std::fs::write(bench.path("t.pth"), file).unwrap();
        bench.run_refused(IMPORT, &["t.pth"]);
    }
}

#[test]
fn a_checkpoint_that_unpacks_to_far_more_than_its_size_is_refused() {
    let bench = Bench::new();
    let zeros = 1 << 24;
    let packed = pickle_of(&tensors(&[zeros], zeros), "", Layout::Zip);
    let packed = archive(&packed, &[vec![0; 4 * zeros]], CompressionMethod::Deflated);
    // One number that stands for many: its stride is 0.
    let wide = pickle_of(&tensors(&[1 << 28], 1), "", Layout::Zip);
    let one = b"(J\x01\0\0\0t\x89";
    let at = wide.windows(one.len()).position(|w| w == one).unwrap();
    let wide = [&wide[..at], b"(J\0\0\0\0t\x89", &wide[at + one.len()..]].concat();
    let wide = archive(&wide, &[vec![0; 4]], CompressionMethod::Stored);
    for file in [packed, wide] {
        assert!(file.len() < 1 << 20);
        std::fs::write(bench.path("t.pth"), file).unwrap();
        bench.run_refused(IMPORT, &["t.pth", "MiB"]);
    }
}

#[test]
fn a_checkpoint_whose_names_ask_for_a_huge_network_is_refused() {
    let bench = Bench::new();
    let mut few = tensors(&[16_384, 6, 1, 1], 16_384 * 6);
    let tensor = |shape: &[usize]| HostTensor {
        shape: shape.to_vec(),
        values: vec![0.0; shape.iter().product()],
    };
    few.insert("final_conv.weight".into(), tensor(&[3]));
    for (level, hint) in [("7", "at least"), ("18446744073709551615", "depth")] {
        let mut few = few.clone();
        few.insert(format!("downs.{level}.x"), tensor(&[1]));
        let path = bench.path("t.pth");
        strdiffusion_testing::checkpoint::write(&path, &few, "", Layout::Zip);
        bench.run_refused(IMPORT, &["t.pth", hint]);
    }
}

/// A safetensors file of this header, with 8 bytes of data.
fn safetensors(header: &str) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length, header.as_bytes(), &[0; 8]].concat()
}

#[test]
fn weights_that_overlap_or_lie_outside_their_file_are_refused() {
    let bench = Bench::with_photo();
    let entry = |name: &str, shape: &str, from: u64, to: u64| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let of = |entries: &[String]| safetensors(&format!("{{{}}}", entries.join(",")));
    let mut endless = safetensors("{}");
    endless[..8].fill(0xff);
    let cases = [
        of(&[entry("a", "[1]", 0, 4), entry("b", "[1]", 0, 4)]),
        of(&[entry("a", "[2]", 0, 8), entry("b", "[1]", 4, 8)]),
        of(&[entry("a", "[1]", 0, 4), entry("b", "[100]", 4, 404)]),
        of(&[entry("a", "[1]", 4, 8)]),
        of(&[entry("a", "[1]", 8, 4)]),
        of(&[entry("a", "[4611686018427387904,4]", 0, 8)]),
        of(&[entry("a", "[3]", 0, 8)]),
        endless,
    ];
    for bytes in cases {
        std::fs::write(bench.path("model/texture.safetensors"), bytes).unwrap();
        let run = "inpaint photo.png -m mask.png -o out.png";
        bench.run_refused(run, &["texture.safetensors", "not a complete safetensors"]);
    }
}

#[test]
fn settings_that_ask_for_more_than_the_weights_are_refused() {
    let bench = Bench::with_photo();
    let config = bench.path("model/config.json");
    let good = std::fs::read_to_string(&config).unwrap();
    let run = "inpaint photo.png -m mask.png -o out.png";
    let widths = |width: u64| good.replace("\"width\": 4", &format!("\"width\": {width}"));
    for (bad, hint) in [
        (widths(16_384), "at least"),
        (widths(1 << 40), "at most"),
        (widths(u64::MAX - 1), "at most"),
        (
            good.replace("\"time_dim\": 16", "\"time_dim\": 16000"),
            "at least",
        ),
        (
            good.replace("\"steps\": 4", "\"steps\": 18446744073709551615"),
            "T is",
        ),
    ] {
        assert_ne!(bad, good);
        std::fs::write(&config, bad).unwrap();
        bench.run_refused(run, &["model", hint]);
    }
    // What costs nothing is no reason to refuse.
    let resolution = good.replace(
        "\"training_resolution\": 32",
        "\"training_resolution\": 9007199254740993",
    );
    assert_ne!(resolution, good);
    std::fs::write(&config, resolution).unwrap();
    bench.run_well(run);
}

#[cfg(unix)]
fn pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_link_as_output_is_replaced_and_a_pipe_is_refused() {
    use std::os::unix::fs::symlink;
    let bench = Bench::with_photo();
    std::fs::write(bench.path("precious.png"), "dear").unwrap();
    for target in ["precious.png", "nowhere.png", "out.png"] {
        symlink(target, bench.path("out.png")).unwrap();
        bench.run_well("inpaint photo.png -m mask.png -o out.png");
        let out = std::fs::symlink_metadata(bench.path("out.png")).unwrap();
        assert!(out.is_file(), "{target}");
        std::fs::remove_file(bench.path("out.png")).unwrap();
    }
    assert_eq!(std::fs::read(bench.path("precious.png")).unwrap(), b"dear");
    assert!(!bench.path("nowhere.png").exists());
    pipe(&bench.path("pipe.png"));
    let run = "inpaint photo.png -m mask.png -o pipe.png";
    bench.run_refused(run, &["pipe.png", "no regular file"]);
}

#[cfg(unix)]
#[test]
fn pipes_in_place_of_a_models_files_are_not_waited_for() {
    let bench = Bench::with_photo();
    for name in ["model/config.json", "model/structure.safetensors"] {
        let good = std::fs::read(bench.path(name)).unwrap();
        std::fs::remove_file(bench.path(name)).unwrap();
        pipe(&bench.path(name));
        bench.run_refused("info model", &[name]);
        std::fs::remove_file(bench.path(name)).unwrap();
        std::fs::write(bench.path(name), good).unwrap();
    }
    pipe(&bench.path("t.pth"));
    bench.run_refused(IMPORT, &["t.pth", "no regular file"]);
}

#[cfg(unix)]
#[test]
fn names_cannot_forge_messages_and_any_name_is_filled() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::with_photo();
    std::fs::create_dir(bench.path("photos")).unwrap();
    let photo = std::fs::read(bench.path("photo.png")).unwrap();
    let names: [&[u8]; 4] = [
        b"--help.png",
        b"..png.png",
        b"\xff\xfe.png",
        b"a b\n;$(x).png",
    ];
    for name in names {
        let path = bench.path("photos").join(OsStr::from_bytes(name));
        std::fs::write(path, &photo).unwrap();
    }
    bench.run_well("inpaint --images photos --mask mask.png --out filled");
    let filled = |name: &&[u8]| bench.path("filled").join(OsStr::from_bytes(name)).is_file();
    // A leading dot hides a file.
    assert_eq!(
        names.iter().map(filled).collect::<Vec<_>>(),
        [true, false, true, true]
    );

    let forged = "x\nerror: all is lost\x1b[2J.png";
    std::fs::write(bench.path(forged), "no picture").unwrap();
    let mut command = bench.command("inpaint -m mask.png -o out.png");
    let said = text(&command.arg(forged).output().unwrap().stderr);
    assert_eq!(said.lines().count(), 1, "{said:?}");
    assert!(!said.contains('\x1b'), "{said:?}");
}
