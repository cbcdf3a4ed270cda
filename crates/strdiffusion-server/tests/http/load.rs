//! Many clients at once.

use std::ops::ControlFlow;

use futures_util::future::join_all;
use strdiffusion::FillOptions;
use strdiffusion::picture::{HolePolarity, Mask};

use crate::checked::Parts;
use crate::pictures::{assert_known_pixels_stay, decode, mask, photo};
use crate::running::{config, start_with};
use crate::stages::{Gate, inpainter};

const CLIENTS: u64 = 50;

/// Sum of differences of two pictures' bytes.
fn distance(a: &[u8], b: &[u8]) -> u64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum()
}

#[tokio::test]
async fn fifty_clients_each_get_their_own_picture() {
    let mut config = config(&Gate::open());
    config.limits.queue = CLIENTS as usize;
    config.limits.kept_jobs = 10;
    config.limits.kept_bytes = 16 << 10;
    let server = start_with(config).await;
    let (image, hole) = (photo(40, 30), mask(40, 30));
    let before = decode(&image);
    let known = Mask::from_photo(&decode(&hole), HolePolarity::White).unwrap();

    // What the library gives, each fill by itself.
    let inpainter = inpainter();
    let expected: Vec<Vec<u8>> = (0..CLIENTS)
        .map(|seed| {
            let options = FillOptions {
                seed,
                ..FillOptions::default()
            };
            let go_on = &mut |_: &strdiffusion::Progress| ControlFlow::Continue(());
            let filled = inpainter.fill(&before, &known, &options, go_on).unwrap();
            filled.photo.image().as_bytes().to_vec()
        })
        .collect();

    // Every second one by a job, the others in one request.
    let fill = async |seed: u64| {
        let settings = format!(r#"{{"seed": {seed}}}"#);
        let settings = settings.as_bytes();
        let parts: Parts = &[("image", &image), ("mask", &hole), ("settings", settings)];
        if seed.is_multiple_of(2) {
            return server.inpaint(parts).await;
        }
        let job = server.submit(parts).await;
        let mut events = server.events(&job).await;
        let candidate = events.until("candidate").await;
        let response = server.get(candidate["url"].as_str().unwrap()).await;
        // Only the latest results are kept; one that came and went is asked for anew.
        if response.status() == 404 {
            return server.inpaint(parts).await;
        }
        response.bytes().await.unwrap().to_vec()
    };
    let fills = join_all((0..CLIENTS).map(fill)).await;
    for (seed, filled) in fills.iter().enumerate() {
        let filled = decode(filled);
        assert_known_pixels_stay(&before, &filled, &known);
        let nearest = expected
            .iter()
            .enumerate()
            .min_by_key(|(_, e)| distance(e, filled.image().as_bytes()));
        assert_eq!(nearest.map(|(nearest, _)| nearest), Some(seed));
    }
    let kept = server.count("strdiffusion_kept_results_bytes").await;
    assert!(kept > 0.0 && kept <= f64::from(16 << 10), "{kept}");
}
