//! What a fill is, whichever way it was asked for.

use std::io::Cursor;

use serde_json::{Value, json};
use strdiffusion::picture::{HolePolarity, Mask};

use crate::checked::Parts;
use crate::pictures::{assert_known_pixels_stay, black_and_white, cutout, decode, mask, photo};
use crate::running::start;

#[tokio::test]
async fn known_pixels_come_back_bit_for_bit() {
    let server = start().await;
    // As a whole, and by regions.
    for (width, height) in [(16, 12), (70, 50)] {
        let (image, hole) = (photo(width, height), mask(width, height));
        let filled = server.inpaint(&[("image", &image), ("mask", &hole)]).await;
        let hole = Mask::from_photo(&decode(&hole), HolePolarity::White);
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
    let reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
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
