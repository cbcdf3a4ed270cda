//! Folders as they lie on disks: with links that lead back, and with what is no file.

use strdiffusion::files::list_pictures;

#[cfg(unix)]
#[test]
fn links_that_lead_back_are_followed_once_and_pipes_not_at_all() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir(root.join("in")).unwrap();
    for name in ["a.png", "in/b.jpg", "in/c.txt"] {
        std::fs::write(root.join(name), "x").unwrap();
    }
    for (target, link) in [(".", "one"), (".", "two"), ("..", "in/up"), ("in", "again")] {
        symlink(target, root.join(link)).unwrap();
    }
    symlink("a.png", root.join("linked.png")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(root.join("pipe.png"))
        .status();
    assert!(made.unwrap().success());
    let names = || -> Vec<String> {
        let listed = list_pictures(root).unwrap();
        let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_owned();
        listed
            .iter()
            .map(|path| name(path).into_string().unwrap())
            .collect()
    };
    let mut found = names();
    found.sort();
    assert_eq!(found, ["a.png", "b.jpg", "linked.png"]);
}
