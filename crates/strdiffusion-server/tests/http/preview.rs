//! Photographs for browsers that cannot read their format.

use strdiffusion::picture::OutputFormat;

use crate::checked::refusal;
use crate::pictures::{cutout, decode};
use crate::running::start;

#[tokio::test]
async fn a_tiff_comes_back_as_png_of_the_same_pixels() {
    let server = start().await;
    let photo = decode(&cutout(40, 30, |x, y| x > y));
    let tiff = photo.encode(OutputFormat::Tiff).unwrap();
    let response = server.post("/v1/preview", &[("image", &tiff)]).await;
    assert_eq!(response.status(), 200);
    let png = response.bytes().await.unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    assert_eq!(decode(&png).image(), photo.image());
}

#[tokio::test]
async fn what_is_no_picture_is_refused() {
    let server = start().await;
    for parts in [vec![("image", &b"II*\0"[..])], vec![("mask", b"")]] {
        let response = server.post("/v1/preview", &parts).await;
        assert_eq!(refusal(response, 400).await, "bad_image");
    }
}
