//! What a fill is, whichever way it was asked for.

use std::io::Cursor;

use serde_json::{Value, json};
use strdiffusion::picture::{HolePolarity, Mask};

use crate::checked::{Checked, Parts, refusal};
use crate::pictures::{
    assert_known_pixels_stay, black_and_white, cutout, decode, mask, photo, png,
};
use crate::running::start;

#[tokio::test]
async fn known_pixels_come_back_bit_for_bit() {
    let server = start().await;
    // As a whole, and by regions.
    for (width, height) in [(16, 12), (70, 50)] {
        let (image, hole) = (photo(width, height), mask(width, height));
        let filled = server.inpaint(&[("image", &image), ("mask", &hole)]).await;
        let hole = Mask::from_photo(&decode(&hole), HolePolarity::White).unwrap();
        assert_known_pixels_stay(&decode(&image), &decode(&filled), &hole);
    }
}

#[tokio::test]
async fn transparent_pixels_are_the_hole_where_there_is_no_mask() {
    let server = start().await;
    let image = cutout(40, 30, |x, y| x > 20 && y > 12 && x + y < 50);
    let filled = decode(&server.inpaint(&[("image", &image)]).await);
    let before = decode(&image);
    let hole = Mask::from_alpha(&before).unwrap();
    assert_eq!(filled.bit_depth(), 16);
    assert_known_pixels_stay(&before, &filled, &hole);
    assert!(filled.alpha().unwrap().iter().all(|&alpha| alpha == 1.0));
}

#[tokio::test]
async fn what_is_left_out_of_a_photograph_is_said() {
    let server = start().await;
    let (animation, hole) = (animation(), mask(16, 12));
    let note = "it holds 2 frames, of which only number 1 is used";
    let parts: Parts = &[("image", &animation), ("mask", &hole)];
    let response = server.post("/v1/inpaint", parts).await;
    assert_eq!(response.headers()["x-strdiffusion-notes"], note);
    let job = server.submit(parts).await;
    assert_eq!(server.json(&job).await["notes"], json!([note]));
    let still = photo(16, 12);
    let parts: Parts = &[("image", &still), ("mask", &hole)];
    let response = server.post("/v1/inpaint", parts).await;
    assert_eq!(response.headers()["x-strdiffusion-notes"], "");
}

#[tokio::test]
async fn a_masks_hole_keeps_its_transparency() {
    let server = start().await;
    let image = cutout(40, 30, |x, _| x > 20);
    let hole = black_and_white(40, 30, |x, y| (15..25).contains(&x) && y > 10);
    let filled = decode(&server.inpaint(&[("image", &image), ("mask", &hole)]).await);
    assert_eq!(filled.alpha(), decode(&image).alpha());
}

#[tokio::test]
async fn the_settings_grow_and_feather_the_hole() {
    let server = start().await;
    let (image, hole) = (photo(40, 30), mask(40, 30));
    let settings = br#"{"grow": 2, "feather": 3}"#;
    let parts: Parts = &[("image", &image), ("mask", &hole), ("settings", settings)];
    let response = server.post("/v1/inpaint", parts).await;
    let notes = response.headers()["x-strdiffusion-notes"].to_str().unwrap();
    assert!(notes.contains("within 3 of the hole"), "{notes}");
    let filled = decode(&response.bytes().await.unwrap());
    let hole = Mask::from_photo(&decode(&hole), HolePolarity::White).unwrap();
    assert_known_pixels_stay(&decode(&image), &filled, &hole.grown(5));
    let black = black_and_white(40, 30, |_, _| false);
    let gray = image::GrayImage::from_fn(40, 30, |x, y| {
        image::Luma([if x / 10 == 1 && y / 10 == 1 {
            255
        } else {
            60 * u8::from(x == 30)
        }])
    });
    let gray = crate::pictures::png(gray);
    for (mask, settings, code) in [
        (&gray, r#"{"soft": true, "grow": 1}"#, "bad_settings"),
        (&gray, r#"{"threshold": 2}"#, "bad_settings"),
        (&gray, r#"{"shrink": 20}"#, "no_hole"),
        (&gray, r#"{"grow": 90}"#, "full_mask"),
        (&black, r#"{"grow": 1}"#, "no_hole"),
    ] {
        let parts: Parts = &[
            ("image", &image),
            ("mask", mask),
            ("settings", settings.as_bytes()),
        ];
        assert_eq!(
            refusal(server.post("/v1/inpaint", parts).await, 400).await,
            code
        );
    }
    let parts: Parts = &[
        ("image", &image),
        ("mask", &gray),
        ("settings", br#"{"soft": true}"#),
    ];
    let filled = decode(&server.inpaint(parts).await);
    let hole = black_and_white(40, 30, |x, y| (x / 10 == 1 && y / 10 == 1) || x == 30);
    let hole = Mask::from_photo(&decode(&hole), HolePolarity::White).unwrap();
    assert_known_pixels_stay(&decode(&image), &filled, &hole);
}

#[tokio::test]
async fn a_photograph_is_continued_beyond_its_sides() {
    let server = start().await;
    let (image, hole) = (photo(40, 30), mask(40, 30));
    let before = decode(&image);
    for settings in [
        r#"{"extend": [5, 0, "10%", 3]}"#,
        r#"{"extend": "5,0,4,10%"}"#,
    ] {
        let settings = settings.as_bytes();
        let parts: Parts = &[("image", &image), ("settings", settings)];
        let filled = decode(&server.inpaint(parts).await);
        assert_eq!((filled.width(), filled.height()), (49, 33));
        let part = filled.image().crop_imm(5, 0, 40, 30);
        assert!(part.as_bytes() == before.image().as_bytes());
        let parts: Parts = &[("image", &image), ("mask", &hole), ("settings", settings)];
        let job = server.submit(parts).await;
        assert_eq!(server.json(&job).await["width"], 49);
        server.events(&job).await.until("done").await;
    }
    for (extend, status, code) in [
        ("[1, 2, 3]", 400, "bad_settings"),
        ("[1, 2, 3, -4]", 400, "bad_settings"),
        ("7", 400, "bad_settings"),
        ("[0, 0, 0, 0]", 400, "no_hole"),
        ("[0, 0, 100000, 0]", 413, "too_large"),
    ] {
        let settings = format!(r#"{{"extend": {extend}}}"#);
        let parts: Parts = &[("image", &image), ("settings", settings.as_bytes())];
        let response = server.post("/v1/inpaint", parts).await;
        assert_eq!(refusal(response, status).await, code, "{extend}");
    }
}

/// A PNG of two frames of 16×12 pixels.
fn animation() -> Vec<u8> {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, 16, 12);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    for value in [90, 200] {
        writer.write_image_data(&[value; 16 * 12]).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

#[tokio::test]
async fn a_result_says_how_it_was_made() {
    let server = start().await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let settings = json!({"seed": u64::MAX, "sampler": "euler", "steps": 2, "model": "other"});
    let settings = settings.to_string();
    let parts: Parts = &[
        ("image", &image),
        ("mask", &hole),
        ("settings", settings.as_bytes()),
    ];
    let response = server.post("/v1/inpaint", parts).await;
    let seed = u64::MAX.to_string();
    assert_eq!(response.headers()["x-strdiffusion-seed"], seed.as_str());
    let png = response.bytes().await.unwrap();
    let reader = png::Decoder::new(Cursor::new(&png)).read_info().unwrap();
    let text = |key: &str| {
        let info = reader.info();
        let latin = info.uncompressed_latin1_text.iter();
        let mut latin = latin.filter(|t| t.keyword == key).map(|t| t.text.clone());
        let utf8 = info.utf8_text.iter();
        let mut utf8 = utf8
            .filter(|t| t.keyword == key)
            .map(|t| t.get_text().unwrap());
        latin.next().or_else(|| utf8.next()).unwrap()
    };
    assert!(text("Software").starts_with("strdiffusion "));
    assert_eq!(text("strdiffusion-seed"), seed);
    assert_eq!(text("strdiffusion-model"), "other");
    let settings: Value = serde_json::from_str(&text("strdiffusion-settings")).unwrap();
    assert_eq!(settings["sampler"]["solver"], "euler");
    assert_eq!(settings["sampler"]["steps"], 2);
    assert_eq!(settings["drawn_structure"], false);
    let settings = br#"{"strip": true}"#;
    let parts: Parts = &[("image", &png), ("mask", &hole), ("settings", settings)];
    assert!(decode(&server.inpaint(parts).await).text().is_empty());
}

#[tokio::test]
async fn candidate_i_is_the_fill_of_seed_plus_i() {
    let server = start().await;
    let (image, hole) = (photo(16, 16), mask(16, 16));
    let fill = async |settings: &str| {
        let settings = settings.as_bytes();
        let parts: Parts = &[("image", &image), ("mask", &hole), ("settings", settings)];
        server.inpaint(parts).await
    };
    let settings = br#"{"seed": 7, "candidates": 3}"#;
    let job = server
        .submit(&[("image", &image), ("mask", &hole), ("settings", settings)])
        .await;
    server.events(&job).await.until("done").await;
    let mut fills = vec![];
    for n in 0..3 {
        let alone = fill(&format!(r#"{{"seed": {}}}"#, 7 + n)).await;
        let response = server.get(&format!("{job}/candidates/{n}")).await;
        let of_job = response.bytes().await.unwrap();
        let [alone, of_job] = [&alone, &of_job[..]].map(decode);
        // A batch may round in another order: one level of 255.
        let pairs = alone
            .image()
            .as_bytes()
            .iter()
            .zip(of_job.image().as_bytes());
        assert!(pairs.into_iter().all(|(a, b)| a.abs_diff(*b) <= 1), "{n}");
        fills.push(alone.image().as_bytes().to_vec());
    }
    assert!(fills[0] != fills[1] && fills[1] != fills[2]);
}

/// A job of one candidate that is done, for each kind of photograph: filled as a whole or by
/// regions; of 8 bits, or of 16 with alpha. Each has known patches to take detail from.
async fn done_jobs(server: &Checked) -> Vec<(Vec<u8>, Option<Vec<u8>>, String)> {
    let mut jobs = vec![];
    let large = cutout(70, 50, |x, y| x.abs_diff(20) < 6 && y.abs_diff(30) < 5);
    for (image, hole) in [
        (
            photo(16, 16),
            Some(black_and_white(16, 16, |x, y| x < 9 && y < 8)),
        ),
        (photo(70, 50), Some(mask(70, 50))),
        (large, None),
    ] {
        let job = server.submit(&parts(&image, hole.as_deref(), "{}")).await;
        server.events(&job).await.until("done").await;
        jobs.push((image, hole, job));
    }
    jobs
}

fn parts<'a>(
    image: &'a [u8],
    hole: Option<&'a [u8]>,
    settings: &'a str,
) -> Vec<(&'static str, &'a [u8])> {
    let mut parts = vec![("image", image), ("settings", settings.as_bytes())];
    parts.extend(hole.map(|hole| ("mask", hole)));
    parts
}

#[tokio::test]
async fn another_share_of_detail_is_the_fill_with_that_setting() {
    let server = start().await;
    let mut differing = 0;
    for (image, hole, job) in done_jobs(&server).await {
        let mut pictures = vec![];
        for (word, setting) in [
            ("0.4", "0.4"),
            ("auto", r#""auto""#),
            ("off", r#""off""#),
            ("0", "0"),
        ] {
            let settings = format!(r#"{{"detail": {setting}}}"#);
            let parts = parts(&image, hole.as_deref(), &settings);
            let expected = server.inpaint(&parts).await;
            let response = server
                .get(&format!("{job}/candidates/0?detail={word}"))
                .await;
            assert_eq!(response.status(), 200);
            assert!(response.bytes().await.unwrap() == expected, "{word}");
            pictures.push(expected);
        }
        assert!(pictures[2] == pictures[3], "no share is off");
        let [some, all, none] = [0, 1, 2].map(|n| decode(&pictures[n]).image().clone());
        differing += usize::from(some != all && some != none && all != none);
        // What the job was submitted with is still there.
        let plain = server.get(&format!("{job}/candidates/0")).await;
        assert!(plain.bytes().await.unwrap() == pictures[1]);
    }
    // One photograph has little but its hole.
    assert!(differing >= 2, "{differing}");
}

#[tokio::test]
async fn a_candidate_reports_each_hole_that_got_detail() {
    let server = start().await;
    let (image, hole) = (photo(70, 50), mask(70, 50));
    let job = server.submit(&parts(&image, Some(&hole), "{}")).await;
    let told = server.events(&job).await.until("candidate").await;
    let done = server.events(&job).await.until("done").await;
    assert_eq!(done["candidates"][0], told);
    let holes = told["detail"].as_array().unwrap();
    let pixels: u64 = holes.iter().map(|h| h["pixels"].as_u64().unwrap()).sum();
    // The mask's hole: columns 17 to 51, rows 12 to 36.
    assert_eq!(pixels, 35 * 25);
    for hole in holes {
        assert!(hole["x"].as_u64().unwrap() >= 17 && hole["y"].as_u64().unwrap() >= 12);
        for key in ["confidence", "trust"] {
            assert!((0.0..=1.0).contains(&hole[key].as_f64().unwrap()), "{key}");
        }
    }
}

#[tokio::test]
async fn a_share_of_detail_that_cannot_be_is_refused() {
    let server = start().await;
    let (image, hole) = (photo(40, 30), mask(40, 30));
    let settings = r#"{"detail": "off"}"#;
    let job = server.submit(&parts(&image, Some(&hole), settings)).await;
    let done = server.events(&job).await.until("done").await;
    assert_eq!(done["candidates"][0]["detail"], json!([]));
    // None was looked for, so only none can be shown.
    for word in [
        "2",
        "-0.1",
        "nan",
        "much",
        "",
        "0.4",
        "auto",
        "0.1&detail=0.2",
    ] {
        let response = server
            .get(&format!("{job}/candidates/0?detail={word}"))
            .await;
        assert_eq!(refusal(response, 400).await, "bad_settings", "{word}");
    }
    let response = server.get(&format!("{job}/candidates/0?detail=off")).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn drawn_lines_count_inside_the_hole_only() {
    let server = start().await;
    let (image, hole) = (photo(40, 30), mask(40, 30));
    let fill = async |row: u32| {
        let lines = black_and_white(40, 30, |_, y| y == row);
        let parts: Parts = &[("image", &image), ("mask", &hole), ("structure", &lines)];
        decode(&server.inpaint(parts).await).image().clone()
    };
    let plain = server.inpaint(&[("image", &image), ("mask", &hole)]).await;
    let plain = decode(&plain).image().clone();
    assert!(fill(2).await == plain, "outside the hole");
    assert!(fill(15).await != plain, "inside the hole");
}

#[tokio::test]
async fn what_is_avoided_changes_the_detail_alone() {
    let server = start().await;
    let is_red = |x: u32| x < 48;
    let halves = image::RgbImage::from_fn(96, 60, |x, y| {
        let noise = ((x * 7919 + y * 104_729) % 97) as u8;
        let [strong, weak] = [140 + noise, 97 - noise];
        image::Rgb(match is_red(x) {
            true => [strong, weak, 40],
            false => [weak, strong, 40],
        })
    });
    let (image, hole) = (png(halves), mask(96, 60));
    let left = black_and_white(96, 60, |x, _| is_red(x));
    let fill = async |more: Parts<'_>, settings: &str| {
        let settings = ("settings", settings.as_bytes());
        let mut parts = vec![("image", &image[..]), ("mask", &hole[..]), settings];
        parts.extend(more);
        decode(&server.inpaint(&parts).await).image().clone()
    };
    let avoid: Parts = &[("avoid", &left)];
    assert!(fill(avoid, "{}").await != fill(&[], "{}").await);
    // Without detail there is nothing to be copied.
    let off = r#"{"detail": "off"}"#;
    assert!(fill(avoid, off).await == fill(&[], off).await);
    // What is avoided has the size of the photograph as it is sent.
    fill(avoid, r#"{"extend": [0, 0, 8, 0]}"#).await;
}
