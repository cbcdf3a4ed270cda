//! What shells, terminals and manuals get.

use std::process::Command;

use crate::support::{Bench, names_in, text};

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    let bench = Bench::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = bench.run_well(&format!("completions {shell}"));
        for word in ["inpaint", "merge-results", "mask"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    let other = bench.run("completions csh");
    assert_eq!(other.status.code(), Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn bash_completes_commands_and_options() {
    let bench = Bench::empty();
    let script = bench.run_well("completions bash");
    std::fs::write(bench.path("completions"), script).unwrap();
    let completed = |words: &str| {
        let line = format!(
            "source ./completions; COMP_WORDS=(strdiffusion {words}); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _strdiffusion strdiffusion \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; \
             echo \"${{COMPREPLY[@]}}\""
        );
        let mut bash = Command::new("bash");
        let output = bash.args(["-c", &line]).current_dir(bench.root()).output();
        text(&output.unwrap().stdout)
    };
    assert_eq!(completed("inp").trim(), "inpaint");
    assert_eq!(completed("inpaint --candi").trim(), "--candidates");
    assert_eq!(completed("inpaint --scale n").trim(), "native");
}

#[test]
fn every_command_has_a_manual_page() {
    let bench = Bench::empty();
    let own = bench.run_well("man");
    assert!(own.contains(".TH strdiffusion 1"), "{own}");
    let inpaint = bench.run_well("man inpaint");
    assert!(inpaint.contains(".TH strdiffusion-inpaint 1"), "{inpaint}");
    assert!(inpaint.contains("\\-\\-mask"), "{inpaint}");
    bench.run_refused("man paint", &["\"paint\"", "--help"]);

    bench.run_well("man --out pages");
    let pages = names_in(&bench.path("pages"));
    let help = bench.run_well("--help");
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.map_while(|line| line.split_whitespace().next());
    let mut listed = 0;
    for command in commands.filter(|command| *command != "help") {
        let page = format!("strdiffusion-{command}.1");
        assert!(pages.contains(&page), "no {page} in {pages:?}");
        listed += 1;
    }
    assert!(listed > 10, "{help}");
    let page = std::fs::read_to_string(bench.path("pages/strdiffusion-inpaint.1")).unwrap();
    assert_eq!(page, inpaint);
}

#[test]
fn quiet_says_errors_and_what_was_asked_for() {
    let bench = Bench::with_photo();
    image::GrayImage::new(24, 20)
        .save(bench.path("none.png"))
        .unwrap();
    // That there is no hole is a note.
    let fill = "inpaint photo.png -m none.png -o";
    let spoken = bench.run(&format!("{fill} filled.png"));
    assert!(text(&spoken.stderr).contains("note: ") && !spoken.stdout.is_empty());
    for line in [
        format!("-q {fill} quiet.png"),
        format!("{fill} after.png --quiet"),
        "masks --count 1 --size 32 --out masks --quiet".into(),
    ] {
        let output = bench.run(&line);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stderr) + &text(&output.stdout), "", "{line}");
    }
    bench.run_refused("-q inpaint nowhere.png -o out.png", &["nowhere.png"]);
    assert!(
        bench
            .run_well("info -q")
            .starts_with(bench.path("model").to_str().unwrap())
    );
    let json = bench.run_well(&format!("{fill} again.png -q --json"));
    assert!(json.contains("\"result\""), "{json}");
    assert_eq!(bench.run("-q -v info").status.code(), Some(2));
}

#[test]
fn verbose_tells_what_happens_inside() {
    let bench = Bench::with_photo();
    let told = |options: &str| {
        let line = format!("inpaint photo.png -m mask.png -o out.png --detail off {options}");
        let output = bench.run(&line);
        assert_eq!(output.status.code(), Some(0));
        text(&output.stderr)
    };
    assert!(!told("").contains("INFO"));
    let more = told("-v");
    assert!(
        more.contains("INFO") && more.contains("model loaded"),
        "{more}"
    );
    assert!(!more.contains("DEBUG"), "{more}");
    assert!(told("-vv").contains("DEBUG"));
}

#[test]
fn no_color_keeps_colours_away() {
    let bench = Bench::with_photo();
    let has_colours = |line: &str, variables: &[(&str, &str)]| {
        let mut command = bench.command(line);
        command.env_remove("NO_COLOR");
        // As if there were a terminal.
        command.env("CLICOLOR_FORCE", "1");
        command.envs(variables.iter().copied());
        text(&command.output().unwrap().stderr).contains('\x1b')
    };
    for line in [
        "inpaint --nonsense",
        "info -v --nonsense",
        "-v inpaint photo.png -m mask.png -o out.png",
    ] {
        assert!(has_colours(line, &[]), "{line}");
        assert!(!has_colours(line, &[("NO_COLOR", "1")]), "{line}");
    }
}
