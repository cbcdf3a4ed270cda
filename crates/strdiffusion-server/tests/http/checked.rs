//! A client that checks each answer against the server's own description.

use futures_util::StreamExt;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use strdiffusion_server::{OPENAPI, template_of};

/// The parts of a form, by name.
pub type Parts<'a> = &'a [(&'static str, &'a [u8])];

#[derive(Clone)]
pub struct Checked {
    pub http: Client,
    pub base: String,
    pub token: Option<String>,
}

impl Checked {
    pub fn new(address: std::net::SocketAddr, token: Option<String>) -> Self {
        Self {
            http: Client::builder().no_proxy().build().unwrap(),
            base: format!("http://{address}"),
            token,
        }
    }

    /// Sends a request, and checks that the description knows the answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Response {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method.clone(), url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = with(request).send().await.unwrap();
        check(&method, response.url().path(), &response);
        response
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, |request| request).await
    }

    pub async fn delete(&self, path: &str) -> Response {
        self.send(Method::DELETE, path, |request| request).await
    }

    pub async fn post(&self, path: &str, parts: Parts<'_>) -> Response {
        let form = form(parts);
        self.send(Method::POST, path, |request| request.multipart(form))
            .await
    }

    /// The PNG of a fill.
    pub async fn inpaint(&self, parts: Parts<'_>) -> Vec<u8> {
        let response = self.post("/v1/inpaint", parts).await;
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        response.bytes().await.unwrap().to_vec()
    }

    /// A job's path.
    pub async fn submit(&self, parts: Parts<'_>) -> String {
        let response = self.post("/v1/jobs", parts).await;
        assert_eq!(response.status(), 202);
        let path = response.headers()["location"].to_str().unwrap().to_owned();
        let job: Value = response.json().await.unwrap();
        assert_eq!(path, format!("/v1/jobs/{}", job["id"].as_str().unwrap()));
        path
    }

    pub async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    pub async fn events(&self, job: &str) -> Events {
        let response = self.get(&format!("{job}/events")).await;
        assert_eq!(response.status(), 200);
        Events {
            bytes: Box::pin(response.bytes_stream().map(|chunk| chunk.unwrap().to_vec())),
            text: String::new(),
        }
    }

    /// One count of `/metrics`; 0 where it has not been counted yet.
    pub async fn count(&self, metric: &str) -> f64 {
        let text = self.get("/metrics").await.text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(metric));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }
}

pub fn form(parts: Parts) -> Form {
    parts.iter().fold(Form::new(), |form, (name, bytes)| {
        form.part(*name, Part::bytes(bytes.to_vec()).file_name(*name))
    })
}

/// The code of a refusal with this status.
pub async fn refusal(response: Response, status: u16) -> String {
    assert_eq!(response.status(), status);
    let refusal: Value = response.json().await.unwrap();
    let message = refusal["error"]["message"].as_str().unwrap();
    assert!(!message.contains('\n') && message.len() > 10, "{message}");
    refusal["error"]["code"].as_str().unwrap().to_owned()
}

fn check(method: &Method, path: &str, response: &Response) {
    let status = response.status().as_u16();
    let Some(template) = template_of(path) else {
        return assert_eq!(status, 404);
    };
    let description: Value = serde_json::from_str(OPENAPI).unwrap();
    let operation = &description["paths"][template][method.as_str().to_lowercase()];
    if operation.is_null() {
        return assert_eq!(status, 405);
    }
    let mut answer = &operation["responses"][status.to_string()];
    if let Some(reference) = answer["$ref"].as_str() {
        answer = description.pointer(&reference[1..]).unwrap();
    }
    let kind = response.headers()["content-type"].to_str().unwrap();
    let kind = kind.split(';').next().unwrap();
    assert!(
        !answer["content"][kind].is_null(),
        "{method} {template} answered {status} with {kind}, which is not described"
    );
    for name in answer["headers"].as_object().into_iter().flatten() {
        assert!(response.headers().contains_key(name.0), "{}", name.0);
    }
}

/// The events of a job, as they come.
pub struct Events {
    bytes: futures_util::stream::BoxStream<'static, Vec<u8>>,
    text: String,
}

impl Events {
    /// The next event; none once the stream has ended.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let part = |key: &str| event.lines().find_map(|line| line.strip_prefix(key));
                if let (Some(name), Some(data)) = (part("event: "), part("data: ")) {
                    return Some((name.to_owned(), serde_json::from_str(data).unwrap()));
                }
                continue;
            }
            let chunk = self.bytes.next().await?;
            self.text += &String::from_utf8(chunk).unwrap();
        }
    }

    /// The next event of this name.
    pub async fn until(&mut self, name: &str) -> Value {
        while let Some((found, data)) = self.next().await {
            if found == name {
                return data;
            }
        }
        panic!("the stream ended without {name}");
    }

    /// All that are left.
    pub async fn rest(mut self) -> Vec<(String, Value)> {
        let mut events = vec![];
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}
