//! Models by their name on the hub, against a server that answers as the hub does.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::{Bench, text};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const CARD: &str = "---\nlicense: cc0-1.0\ntags:\n  - inpainting\n  - tiny\n---\n# Tiny\n";

/// A hub on loopback. It answers until the test's process ends.
struct Hub {
    endpoint: String,
    /// Paths that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    /// With one model, `org/tiny`, of these files; its branch `main` and its tag `v1` are one
    /// commit.
    fn new(files: HashMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(vec![]));
        let (log, base) = (Arc::clone(&asked), endpoint.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let request = Request::read(&stream);
                log.lock().unwrap().push(request.path.clone());
                let _ = answer(&stream, &request, &files, &base);
            }
        });
        Self { endpoint, asked }
    }

    /// With the files of a model folder, and a card.
    fn of_folder(folder: &Path) -> Self {
        let mut files = HashMap::from([("README.md".to_owned(), CARD.into())]);
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            files.insert(name, std::fs::read(entry.path()).unwrap());
        }
        Self::new(files)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The command, which knows this hub alone and has an own cache.
    fn command(&self, bench: &Bench, arguments: &str) -> Command {
        let mut command = bench.command(arguments);
        for variable in ["HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN"] {
            command.env_remove(variable);
        }
        command.env("HF_ENDPOINT", &self.endpoint);
        command.env("HF_HOME", bench.path("home"));
        command
    }

    fn run(&self, bench: &Bench, arguments: &str) -> Output {
        self.command(bench, arguments).output().unwrap()
    }
}

struct Request {
    path: String,
    /// First byte that is wanted, and last.
    range: Option<(usize, Option<usize>)>,
}

impl Request {
    fn read(stream: &TcpStream) -> Self {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let first = lines.next().unwrap_or_default();
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut range = None;
        for line in lines.take_while(|line| !line.is_empty()) {
            if let Some((_, bytes)) = line.to_ascii_lowercase().split_once("range: bytes=") {
                let (from, to) = bytes.split_once('-').unwrap();
                range = Some((from.parse().unwrap(), to.parse().ok()));
            }
        }
        Self { path, range }
    }
}

/// Small files are answered at once, weights from another address, as the hub does.
fn answer(
    mut stream: &TcpStream,
    request: &Request,
    files: &HashMap<String, Vec<u8>>,
    base: &str,
) -> std::io::Result<()> {
    let file = request.path.rsplit('/').next().unwrap_or_default();
    let known = ["main", "v1", COMMIT]
        .map(|revision| format!("/org/tiny/resolve/{revision}/{file}"))
        .contains(&request.path)
        || request.path == format!("/store/{file}");
    let Some(content) = files.get(file).filter(|_| known) else {
        return write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    };
    let common = format!("X-Repo-Commit: {COMMIT}\r\nConnection: close\r\n");
    if file.ends_with(".safetensors") && request.path.starts_with("/org") {
        return write!(
            stream,
            "HTTP/1.1 302 Found\r\n{common}ETag: \"other\"\r\nX-Linked-Etag: \"tag-of-{file}\"\r\n\
             Location: {base}/store/{file}\r\nContent-Length: 0\r\n\r\n"
        );
    }
    let (from, to) = request.range.unwrap_or((0, None));
    let to = to.unwrap_or(usize::MAX).min(content.len() - 1);
    let part = &content[from..=to];
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\n{common}ETag: \"tag-of-{file}\"\r\n\
         Content-Range: bytes {from}-{to}/{}\r\nContent-Length: {}\r\n\r\n",
        content.len(),
        part.len()
    )?;
    stream.write_all(part)
}

fn info(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The command must refuse in one line with these words.
fn assert_refused(output: &Output, words: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    for word in words {
        assert!(error.contains(word), "no {word:?} in {error}");
    }
}

#[test]
fn a_model_of_the_hub_is_downloaded_once_and_info_tells_what_the_hub_shows() {
    let bench = Bench::with_photo();
    let hub = Hub::of_folder(&bench.path("model"));
    let first = hub.run(&bench, "info org/tiny --json");
    let told = info(&first);
    assert_eq!(told["model"], format!("org/tiny@{COMMIT}"));
    assert_eq!(told["card"]["license"], "cc0-1.0");
    assert_eq!(told["card"]["tags"][1], "tiny");
    assert!(text(&first.stderr).contains("downloading org/tiny"));
    let snapshot = format!("home/hub/models--org--tiny/snapshots/{COMMIT}");
    assert!(bench.path(&snapshot).join("texture.safetensors").is_file());

    let asked = hub.asked().len();
    let shown = hub.run(&bench, "info org/tiny");
    let shown = text(&shown.stdout);
    assert!(shown.contains("inpainting, tiny"), "{shown}");
    // The hub's own programs write no such file for a commit.
    let of_commit = format!("home/hub/models--org--tiny/refs/{COMMIT}");
    std::fs::remove_file(bench.path(&of_commit)).unwrap();
    for name in ["org/tiny".to_owned(), format!("org/tiny@{COMMIT}")] {
        let mut offline = hub.command(&bench, &format!("info {name} --json"));
        let offline = offline.env("HF_HUB_OFFLINE", "1").output().unwrap();
        assert_eq!(info(&offline), told);
    }
    assert_eq!(hub.asked().len(), asked, "{:?}", hub.asked());

    let fill = "inpaint photo.png -m mask.png --detail off";
    let named = hub.run(&bench, &format!("{fill} -o hub.png --model org/tiny@v1"));
    assert!(named.status.success(), "{}", text(&named.stderr));
    bench.run_well(&format!("{fill} -o folder.png"));
    let pixels = |name: &str| image::open(bench.path(name)).unwrap();
    assert_eq!(pixels("hub.png"), pixels("folder.png"));
    let file = std::fs::read(bench.path("hub.png")).unwrap();
    let name = b"strdiffusion-model\0tiny";
    assert!(file.windows(name.len()).any(|part| part == name));
}

#[test]
fn nothing_is_asked_of_the_hub_unless_it_is_named() {
    let bench = Bench::with_photo();
    let hub = Hub::of_folder(&bench.path("model"));
    std::fs::create_dir(bench.path("org")).unwrap();
    std::fs::rename(bench.path("model"), bench.path("org/tiny")).unwrap();
    assert_eq!(
        info(&hub.run(&bench, "info org/tiny --json"))["model"],
        "org/tiny"
    );
    // A slip in a path is not told to anybody.
    assert_refused(
        &hub.run(&bench, "info org/tinny"),
        &["org/tinny", "no such model folder"],
    );
    let mut own = hub.command(&bench, "inpaint photo.png -m mask.png -o out.png");
    assert!(
        own.env_remove("STRDIFFUSION_MODEL")
            .output()
            .unwrap()
            .status
            .success()
    );
    let mut offline = hub.command(&bench, "info other/model");
    let offline = offline.env("HF_HUB_OFFLINE", "true").output().unwrap();
    assert_refused(&offline, &["other/model", "HF_HUB_OFFLINE"]);
    assert_eq!(hub.asked(), Vec::<String>::new());
}

#[test]
fn what_the_hub_does_not_have_or_is_no_model_is_refused() {
    let bench = Bench::new();
    let hub = Hub::of_folder(&bench.path("model"));
    for name in ["org/other", "org/tiny@v2"] {
        assert_refused(
            &hub.run(&bench, &format!("-q info {name}")),
            &[name, "HF_TOKEN"],
        );
    }
    let mut files = HashMap::from([(
        "config.json".to_owned(),
        b"{\"model_type\": \"bert\"}".to_vec(),
    )]);
    files.insert("texture.safetensors".into(), vec![0; 100]);
    let hub = Hub::new(files);
    let mut other = hub.command(&bench, "-q info org/tiny");
    let other = other.env("HF_HOME", bench.path("other")).output().unwrap();
    assert_refused(&other, &["config.json", "not a model's config"]);
    assert!(
        hub.asked()
            .iter()
            .all(|path| path.ends_with("/config.json"))
    );

    let gone = Hub {
        endpoint: "http://127.0.0.1:1".into(),
        asked: Arc::default(),
    };
    let mut unreachable = gone.command(&bench, "-q info org/tiny");
    let unreachable = unreachable
        .env("HF_HOME", bench.path("empty"))
        .output()
        .unwrap();
    assert_eq!(unreachable.status.code(), Some(1));
    assert!(text(&unreachable.stderr).contains("cannot be downloaded"));
}
