//! Requests as the clients of other programs write them, and answers as they read them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use strdiffusion::picture::{HolePolarity, Mask};

use crate::checked::Checked;
use crate::pictures::{
    assert_known_pixels_stay, black_and_white, cutout, decode, mask, photo, png,
};
use crate::running::{config, start, start_with};
use crate::stages::Gate;

async fn post(server: &Checked, path: &str, body: &Value) -> Response {
    server
        .send(Method::POST, path, |request| request.json(body))
        .await
}

async fn json_of(response: Response) -> Value {
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{body}");
    body
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

fn unbase(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

fn data_url(bytes: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(bytes))
}

/// The picture that our own API gives for the same wish.
async fn own(server: &Checked, image: &[u8], mask: &[u8], seed: u64) -> Vec<u8> {
    let settings = json!({ "seed": seed }).to_string();
    let parts = [
        ("image", image),
        ("mask", mask),
        ("settings", settings.as_bytes()),
    ];
    server.inpaint(&parts).await
}

/// What IOPaint's own page sends, other models' fields and all; IOPaint's schema has more of them.
fn as_iopaints_page_sends(image: &[u8], mask: &[u8], seed: i64) -> Value {
    json!({
        "image": data_url(image),
        "mask": data_url(mask),
        "ldm_steps": 30,
        "ldm_sampler": "ddim",
        "zits_wireframe": true,
        "cv2_flag": "INPAINT_NS",
        "cv2_radius": 5,
        "hd_strategy": "Crop",
        "hd_strategy_crop_trigger_size": 640,
        "hd_strategy_crop_margin": 128,
        "hd_trategy_resize_imit": 2048,
        "prompt": "a lawn",
        "negative_prompt": "",
        "use_croper": false,
        "croper_x": 0,
        "croper_y": 0,
        "croper_height": 512,
        "croper_width": 512,
        "use_extender": false,
        "sd_mask_blur": 12,
        "sd_strength": 1.0,
        "sd_steps": 50,
        "sd_guidance_scale": 7.5,
        "sd_sampler": "DPM++ 2M",
        "sd_seed": seed,
        "sd_match_histograms": false,
        "sd_lcm_lora": false,
        "paint_by_example_example_image": null,
        "enable_controlnet": false,
        "controlnet_method": "",
        "powerpaint_task": "text-guided",
    })
}

#[tokio::test]
async fn iopaints_page_is_answered_with_the_picture() {
    let server = start().await;
    let (image, hole) = (photo(40, 30), mask(40, 30));
    let body = as_iopaints_page_sends(&image, &hole, 7);
    let response = post(&server, "/api/v1/inpaint", &body).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), "image/png");
    assert_eq!(header(&response, "x-seed"), "7");
    let ignored: Vec<&str> = header(&response, "x-strdiffusion-ignored")
        .split(", ")
        .collect();
    assert!(ignored.contains(&"prompt") && ignored.contains(&"sd_steps"));
    assert!(!ignored.contains(&"sd_seed") && !ignored.contains(&"enable_controlnet"));
    let filled = response.bytes().await.unwrap();
    assert!(filled == own(&server, &image, &hole, 7).await);
}

#[tokio::test]
async fn scripts_for_iopaint_send_bare_base64_and_nothing_else() {
    let server = start().await;
    // As editors send them: a layer with alpha, its selection as a gray picture.
    let image = cutout(40, 30, |_, _| false);
    let hole = mask(40, 30);
    let body = json!({ "image": STANDARD.encode(&image), "mask": STANDARD.encode(&hole) });
    let response = post(&server, "/api/v1/inpaint", &body).await;
    assert_eq!(header(&response, "x-strdiffusion-ignored"), "");
    let filled = decode(&response.bytes().await.unwrap());
    let hole = Mask::from_photo(&decode(&hole), HolePolarity::White).unwrap();
    assert_known_pixels_stay(&decode(&image), &filled, &hole);
}

#[tokio::test]
async fn iopaints_clients_find_the_models_and_switch_between_them() {
    let server = start().await;
    let settings = server.json("/api/v1/server-config").await;
    let names = settings["modelInfos"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|model| model["name"].clone()).collect();
    assert_eq!(names, ["tiny", "other"]);
    assert_eq!(server.json("/api/v1/model").await["name"], "tiny");
    let response = post(&server, "/api/v1/model", &json!({ "name": "other" })).await;
    assert_eq!(json_of(response).await["name"], "other");
    assert_eq!(server.json("/api/v1/model").await["model_type"], "inpaint");
    let body = as_iopaints_page_sends(&photo(16, 16), &mask(16, 16), 0);
    let response = post(&server, "/api/v1/inpaint", &body).await;
    let filled = response.bytes().await.unwrap();
    assert!(filled.windows(5).any(|bytes| bytes == b"other"));
    let response = post(&server, "/api/v1/model", &json!({ "name": "lama" })).await;
    assert_eq!(response.status(), 400);
    let refusal: Value = response.json().await.unwrap();
    assert!(refusal["errors"].as_str().unwrap().contains("tiny, other"));
}

/// As scripts for the web UI's img2img send it.
fn as_web_ui_clients_send(image: &[u8], mask: &[u8]) -> Value {
    json!({
        "init_images": [data_url(image)],
        "mask": STANDARD.encode(mask),
        "mask_blur": 4,
        "inpainting_fill": 1,
        "inpaint_full_res": true,
        "inpaint_full_res_padding": 32,
        "inpainting_mask_invert": 0,
        "resize_mode": 0,
        "denoising_strength": 0.75,
        "prompt": "a lawn",
        "negative_prompt": "",
        "seed": 7,
        "batch_size": 1,
        "n_iter": 2,
        "steps": 20,
        "cfg_scale": 7,
        "width": 40,
        "height": 30,
        "sampler_name": "Euler a",
        "override_settings": { "sd_model_checkpoint": "tiny" },
        "alwayson_scripts": {},
    })
}

#[tokio::test]
async fn the_web_uis_clients_get_their_pictures_and_how_they_were_made() {
    let server = start().await;
    let (image, hole) = (photo(40, 30), mask(40, 30));
    let body = as_web_ui_clients_send(&image, &hole);
    let response = post(&server, "/sdapi/v1/img2img", &body).await;
    assert!(header(&response, "x-strdiffusion-ignored").contains("prompt"));
    let answer = json_of(response).await;
    let info: Value = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
    assert_eq!(info["all_seeds"], json!([7, 8]));
    assert_eq!((&info["width"], &info["height"]), (&json!(40), &json!(30)));
    assert_eq!(info["infotexts"][1], "Seed: 8, Size: 40x30");
    assert!(
        info["ignored"]
            .as_array()
            .unwrap()
            .contains(&json!("steps"))
    );
    assert_eq!(answer["parameters"]["prompt"], "a lawn");
    let pictures = answer["images"].as_array().unwrap();
    assert_eq!(pictures.len(), 2);
    // The blur reaches as many pixels beyond the hole.
    let wide = black_and_white(40, 30, |x, y| (6..34).contains(&x) && (3..26).contains(&y));
    let known = Mask::from_photo(&decode(&wide), HolePolarity::White).unwrap();
    for picture in pictures {
        assert_known_pixels_stay(&decode(&image), &decode(&unbase(picture)), &known);
    }
    assert_ne!(pictures[0], pictures[1]);
}

#[tokio::test]
async fn an_inverted_mask_of_the_web_ui_has_a_black_hole() {
    let server = start().await;
    let (image, hole) = (photo(40, 30), mask(40, 30));
    let inverted = black_and_white(40, 30, |x, y| {
        !((10..30).contains(&x) && (7..22).contains(&y))
    });
    let mut body = as_web_ui_clients_send(&image, &inverted);
    body["inpainting_mask_invert"] = json!(1);
    body["mask_blur"] = json!(0);
    body["n_iter"] = json!(1);
    let answer = json_of(post(&server, "/sdapi/v1/img2img", &body).await).await;
    assert!(unbase(&answer["images"][0]) == own(&server, &image, &hole, 7).await);
}

#[tokio::test]
async fn the_web_uis_options_and_progress_are_there() {
    let gate = Gate::closed();
    let server = start_with(config(&gate)).await;
    let option = "sd_model_checkpoint";
    assert_eq!(server.json("/sdapi/v1/options").await[option], "tiny");
    let response = post(&server, "/sdapi/v1/options", &json!({ option: "other" })).await;
    assert_eq!(response.status(), 200);
    assert_eq!(server.json("/sdapi/v1/options").await[option], "other");
    let models = server.json("/sdapi/v1/sd-models").await;
    assert_eq!(models[1]["title"], "other");
    let idle = server.json("/sdapi/v1/progress").await;
    assert_eq!(
        (&idle["progress"], &idle["state"]["job_count"]),
        (&json!(0.0), &json!(0))
    );

    let (image, hole) = (photo(16, 16), mask(16, 16));
    let job = server.submit(&[("image", &image), ("mask", &hole)]).await;
    gate.arrived(1).await;
    gate.allow(1);
    gate.arrived(2).await;
    let busy = server.json("/sdapi/v1/progress").await;
    assert_eq!(busy["progress"], json!(0.25));
    assert_eq!(busy["state"]["sampling_step"], 1);
    gate.release();
    server.events(&job).await.until("done").await;
}

/// As `OpenAI`'s own clients send it: a file's name and kind at each picture, values as texts.
fn as_openais_clients_send(image: &[u8], mask: Option<&[u8]>, format: &'static str) -> Form {
    let picture = |bytes: &[u8], name: &'static str| {
        let part = Part::bytes(bytes.to_vec()).file_name(name);
        part.mime_str("image/png").unwrap()
    };
    let form = Form::new()
        .part("image[]", picture(image, "photo.png"))
        .text("prompt", "a lawn")
        .text("model", "gpt-image-1")
        .text("n", "2")
        .text("size", "1024x1024")
        .text("response_format", format);
    match mask {
        Some(mask) => form.part("mask", picture(mask, "mask.png")),
        None => form,
    }
}

async fn edit(server: &Checked, form: Form) -> Response {
    let path = "/v1/images/edits";
    server.send(Method::POST, path, |r| r.multipart(form)).await
}

/// A mask whose hole is transparent, where [`mask`] has it white.
fn clear_mask(width: u32, height: u32) -> Vec<u8> {
    let inside = |v: u32, length: u32| (length / 4..3 * length / 4).contains(&v);
    let alpha = |x, y| 255 * u8::from(!(inside(x, width) && inside(y, height)));
    let pixel = |x, y| image::Rgba([0, 0, 0, alpha(x, y)]);
    png(image::RgbaImage::from_fn(width, height, pixel))
}

#[tokio::test]
async fn openais_clients_fill_what_is_transparent_in_the_mask() {
    let server = start().await;
    let image = photo(40, 30);
    let form = as_openais_clients_send(&image, Some(&clear_mask(40, 30)), "b64_json");
    let response = edit(&server, form).await;
    let ignored = header(&response, "x-strdiffusion-ignored").to_owned();
    assert_eq!(ignored, "prompt, size, model");
    let answer = json_of(response).await;
    assert!(answer["created"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(answer["size"], "40x30");
    let data = answer["data"].as_array().unwrap();
    assert_eq!(data.len(), 2);
    let known = Mask::from_photo(&decode(&mask(40, 30)), HolePolarity::White).unwrap();
    for picture in data {
        let filled = decode(&unbase(&picture["b64_json"]));
        assert_known_pixels_stay(&decode(&image), &filled, &known);
    }
}

#[tokio::test]
async fn openais_clients_may_ask_for_addresses_and_use_the_photos_own_transparency() {
    let mut config = config(&Gate::open());
    config.token = Some("s3cret".into()); // what they call the API key
    let server = start_with(config).await;
    let image = cutout(40, 30, |x, y| x > 20 && y > 12);
    let form = as_openais_clients_send(&image, None, "url");
    let answer = json_of(edit(&server, form).await).await;
    for picture in answer["data"].as_array().unwrap() {
        let url = picture["url"].as_str().unwrap();
        let path = url.strip_prefix(&server.base).unwrap();
        let filled = decode(&server.get(path).await.bytes().await.unwrap());
        assert!(filled.alpha().unwrap().iter().all(|&alpha| alpha == 1.0));
    }
}

#[tokio::test]
async fn refusals_are_told_where_each_client_looks_for_them() {
    let mut config = config(&Gate::open());
    config.token = Some("s3cret".into());
    config.limits.body_bytes = 1 << 20;
    let server = start_with(config).await;
    let (image, small) = (photo(40, 30), mask(40, 20));
    let cases = [
        (json!({}), 400),
        (json!([]), 400),
        (json!({ "image": "%%", "mask": "" }), 400),
        (
            json!({ "image": data_url(&image), "mask": data_url(&small) }),
            400,
        ),
        (
            json!({ "image": data_url(&image), "mask": "", "sd_seed": -2 }),
            400,
        ),
        (json!({ "init_images": [], "mask": "" }), 400),
        (
            json!({ "init_images": [data_url(&image)], "mask": data_url(&small) }),
            400,
        ),
        (
            json!({ "init_images": [data_url(&image)], "batch_size": 9 }),
            400,
        ),
        (json!({ "image": "A".repeat(2 << 20) }), 413),
    ];
    for (body, status) in &cases {
        for path in ["/api/v1/inpaint", "/sdapi/v1/img2img"] {
            let response = post(&server, path, body).await;
            assert_eq!(response.status(), *status, "{path}");
            let refusal: Value = response.json().await.unwrap();
            assert!(refusal["detail"].as_str().unwrap().len() > 10);
            assert_eq!(refusal["detail"], refusal["errors"]);
        }
    }
    let as_text = server.send(Method::POST, "/api/v1/inpaint", |r| {
        r.header("content-type", "text/plain").body("{}")
    });
    assert_eq!(as_text.await.status(), 415);

    let white = mask(40, 30);
    let without_hole = as_openais_clients_send(&image, Some(&white), "b64_json");
    let response = edit(&server, without_hole).await;
    assert_eq!(response.status(), 400);
    let refusal: Value = response.json().await.unwrap();
    let error = &refusal["error"];
    assert!(error["message"].as_str().unwrap().contains("transparent"));
    assert_eq!(error["type"], "invalid_request_error");
    assert_eq!(error["code"], "no_hole");
    for form in [
        as_openais_clients_send(&image, None, "jpeg"),
        as_openais_clients_send(&image, None, "url").text("stream", "true"),
        as_openais_clients_send(&image, None, "url").text("n", "many"),
        Form::new().text("prompt", "a lawn"),
    ] {
        assert_eq!(edit(&server, form).await.status(), 400);
    }

    let mut stranger = server.client.clone();
    stranger.token = None;
    for (path, place) in [
        ("/api/v1/model", "/detail"),
        ("/sdapi/v1/options", "/detail"),
        ("/v1/images/edits", "/error/message"),
    ] {
        let response = post(&stranger, path, &json!({})).await;
        assert_eq!(response.status(), 401, "{path}");
        let refusal: Value = response.json().await.unwrap();
        assert!(
            refusal
                .pointer(place)
                .unwrap()
                .as_str()
                .unwrap()
                .contains("token")
        );
    }
}
