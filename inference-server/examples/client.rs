//! Asks a server for the label of a text, and then of two at once.

use std::{env, error::Error, thread, time::Duration};

use serde_json::{Value, json};
use ureq::Agent;

fn ask(agent: &Agent, path: &str, body: &Value) -> Result<Value, Box<dyn Error>> {
    let url = env::var("SENTIMENT_URL").unwrap_or_else(|_| "http://localhost:8000".to_owned());
    let mut attempt = 1;
    loop {
        let mut request = agent.post(format!("{url}/api/v1{path}"));
        if let Ok(key) = env::var("SENTIMENT_API_KEY") {
            request = request.header("X-API-Key", key);
        }
        let mut response = request.send_json(body)?;
        match response.status().as_u16() {
            200 => return Ok(response.body_mut().read_json()?),
            429 | 503 if attempt < 5 => {
                let seconds = response.headers().get("Retry-After").and_then(|value| value.to_str().ok()?.parse().ok());
                thread::sleep(Duration::from_secs(seconds.unwrap_or(1)));
                attempt += 1;
            }
            status => return Err(format!("{status}: {}", response.body_mut().read_to_string()?).into()),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let timeout = Some(Duration::from_secs(30));
    let agent = Agent::config_builder().timeout_global(timeout).http_status_as_error(false).build().new_agent();

    let one = ask(&agent, "/predict", &json!({"text": "I love this product"}))?;
    println!("{} {}", one["label"].as_str().unwrap_or_default(), one["score"]);

    let texts = ["It broke after a week", "Fast delivery, friendly people"];
    let many = ask(&agent, "/predict/batch", &json!({"texts": texts}))?;
    for result in many["results"].as_array().into_iter().flatten() {
        println!("{} {}", result["label"].as_str().unwrap_or_default(), result["score"]);
    }
    Ok(())
}
