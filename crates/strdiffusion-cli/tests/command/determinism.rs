//! One seed, one picture: for any number of threads, any batch, and by every door.

use std::process::Stdio;

use crate::serve::Server;
use crate::support::*;

const THREADS: [usize; 3] = [1, 2, 8];

/// Three photographs of one size, so that they can share batches; the last is larger than the model.
fn bench() -> Bench {
    let bench = Bench::with_photo();
    std::fs::create_dir(bench.path("photos")).unwrap();
    for i in 0..5 {
        let photo = photo(24, 20).brighten(5 * i);
        photo.save(bench.path(&format!("photos/{i}.png"))).unwrap();
    }
    photo(90, 70).save(bench.path("large.png")).unwrap();
    mask(90, 70).save(bench.path("large-mask.png")).unwrap();
    bench
}

#[test]
fn threads_and_batches_change_no_byte_of_a_folder() {
    let bench = bench();
    let mut first = None;
    for threads in THREADS {
        for batch in [1, 2, 3, 8] {
            let out = format!("filled-{threads}-{batch}");
            bench.run_well(&format!(
                "inpaint --images photos --mask mask.png --out {out} --seed 9 --threads {threads} \
                 --batch {batch}"
            ));
            let names = names_in(&bench.path(&out));
            let read = |name: &String| std::fs::read(bench.path(&out).join(name)).unwrap();
            let files: Vec<_> = names.iter().map(read).collect();
            assert_eq!(files.len(), 5);
            assert!(*first.get_or_insert(files.clone()) == files, "{out}");
        }
    }
}

/// A form of a photograph and its mask.
fn form(bench: &Bench, photo: &str, mask: &str) -> Vec<u8> {
    let mut body = vec![];
    for (name, file) in [("image", photo), ("mask", mask)] {
        let head = format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        let bytes = std::fs::read(bench.path(file)).unwrap();
        body.extend([head.as_bytes(), &bytes, b"\r\n"].concat());
    }
    let settings = "--x\r\nContent-Disposition: form-data; name=\"settings\"\r\n\r\n{\"seed\": 9}";
    body.extend([settings.as_bytes(), b"\r\n--x--\r\n"].concat());
    body
}

#[test]
fn the_server_gives_the_commands_pixels_for_any_threads_and_batch() {
    let bench = bench();
    let cases = [
        ("photo.png", "mask.png"),
        ("photos/3.png", "mask.png"),
        ("large.png", "large-mask.png"),
    ];
    let expected = cases.map(|(photo, mask)| {
        bench.run_well(&format!("inpaint {photo} -m {mask} -o out.png --seed 9"));
        image::open(bench.path("out.png")).unwrap()
    });
    for (threads, batch) in THREADS.into_iter().flat_map(|t| [(t, 1), (t, 8)]) {
        let mut command = bench.command(&format!(
            "serve --listen 127.0.0.1:0 --device cpu --threads {threads} --batch {batch}"
        ));
        command.stderr(Stdio::null());
        let server = Server::start(command);
        // At once, so that those of one size can share a batch.
        std::thread::scope(|scope| {
            for ((photo, mask), expected) in cases.iter().zip(&expected) {
                let (server, bench) = (&server, &bench);
                scope.spawn(move || {
                    let body = form(bench, photo, mask);
                    let headers = format!(
                        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {}\r\n",
                        body.len()
                    );
                    let answer = server.ask("POST /v1/inpaint", &headers, &body);
                    let start = answer
                        .windows(8)
                        .position(|w| w == b"\x89PNG\r\n\x1a\n")
                        .unwrap();
                    let filled = image::load_from_memory(&answer[start..]).unwrap();
                    assert!(
                        filled == *expected,
                        "{photo}, {threads} threads, batch {batch}"
                    );
                });
            }
        });
    }
}
