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
