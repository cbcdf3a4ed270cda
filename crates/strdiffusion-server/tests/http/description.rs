//! The OpenAPI document says what there is.

use std::collections::BTreeSet;

use serde_json::Value;
use strdiffusion_server::{Code, OPENAPI, ROUTES};

use crate::running::start;

fn description() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

#[tokio::test]
async fn every_route_is_described_and_every_described_route_is_there() {
    let description = description();
    let mut described = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            if method != "parameters" {
                described.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    let known = ROUTES.map(|(method, path)| (method.to_owned(), path.to_owned()));
    assert_eq!(described, BTreeSet::from(known));

    let server = start().await;
    for (method, path) in ROUTES {
        let path = path.replace("{file}", "app.js");
        let response = server.send(method.parse().unwrap(), &path, |r| r).await;
        // A job named {id} is not there, but the path takes the method.
        assert_ne!(response.status(), 405, "{method} {path}");
    }
    assert_eq!(server.json("/openapi.json").await, description);
}

#[test]
fn every_code_and_its_status_is_described() {
    let description = description();
    let codes = &description["components"]["schemas"]["Code"]["enum"];
    assert_eq!(*codes, serde_json::to_value(Code::ALL).unwrap());
    // A job that is submitted can end in any status but these two, which need another path.
    let elsewhere = ["404", "405"];
    for path in ["/v1/inpaint", "/v1/jobs"] {
        let responses = description["paths"][path]["post"]["responses"]
            .as_object()
            .unwrap();
        for code in Code::ALL {
            let status = code.status().as_str().to_owned();
            assert!(
                elsewhere.contains(&status.as_str()) || responses.contains_key(&status),
                "{path} {code:?}"
            );
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn visit(value: &Value, root: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                    assert!(root.pointer(&reference[1..]).is_some(), "{reference}");
                }
                map.values().for_each(|value| visit(value, root));
            }
            Value::Array(items) => items.iter().for_each(|value| visit(value, root)),
            _ => {}
        }
    }
    let description = description();
    visit(&description, &description);
}
